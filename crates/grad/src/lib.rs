//! Forward, vjp and jvp of each primitive, a small tape, optimisers, schedules, objectives and the gradient checker.
