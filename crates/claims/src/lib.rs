//! Research claims as programs: Upheld, Refuted with a smallest counterexample, or Inconclusive, at a stated error rate.
