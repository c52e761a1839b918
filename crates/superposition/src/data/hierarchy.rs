//! Features that are on only where their parent feature is on.

use super::source::Source;
use crate::error::{SuperpositionError, require_shape};
use collimate_measure::ensure;
use collimate_stream::RngStream;

/// The dependence between features with a common parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Siblings {
    /// Each child is on independently of its siblings.
    Independent,
    /// At most one child of a parent is on. Roots have no parent, hence no siblings.
    Exclusive,
}

/// A forest of features: a child can be on only where its parent is on.
///
/// Values are uniform on `[0, 1]`.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::{Hierarchy, Siblings, Source};
/// // A parent that is on half the time and a child that follows it a fifth of the time.
/// let pair = Hierarchy::new(vec![None, Some(0)], vec![0.5, 0.2], Siblings::Independent)?;
/// assert!((pair.marginals()[1] - 0.1).abs() < 1e-15);
/// let x = pair.rows(1000, &mut RngStream::new(1, 0));
/// assert!(x.rows().into_iter().all(|row| row[1] == 0.0 || row[0] > 0.0));
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
///
/// # References
/// D. Chanin et al. (2024), "A is for Absorption".
#[derive(Clone, Debug, PartialEq)]
pub struct Hierarchy {
    parent: Vec<Option<usize>>,
    conditional: Vec<f64>,
    siblings: Siblings,
}

impl Hierarchy {
    /// Creates a forest from the parent of each feature and its probability given that the parent is on. A parent comes before
    /// its children.
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`] if the lists differ in length; [`SuperpositionError::OutOfRange`] for no feature, a
    /// parent that does not come before its child, a probability outside `[0, 1]`, or exclusive siblings whose probabilities sum
    /// to more than 1.
    pub fn new(
        parent: Vec<Option<usize>>,
        conditional: Vec<f64>,
        siblings: Siblings,
    ) -> Result<Self, SuperpositionError> {
        ensure(!parent.is_empty(), "parent.len()", "at least 1", 0.0)?;
        require_shape("conditional", &[parent.len()], &[conditional.len()])?;
        let mut claimed = vec![0.0; parent.len()];
        for (i, (&above, &p)) in parent.iter().zip(&conditional).enumerate() {
            ensure((0.0..=1.0).contains(&p), "conditional", "0 to 1", p)?;
            if let Some(above) = above {
                ensure(above < i, "parent", "an earlier feature", above as f64)?;
                claimed[above] += p;
            }
        }
        if siblings == Siblings::Exclusive {
            for &sum in &claimed {
                ensure(sum <= 1.0 + 1e-12, "sum over exclusive siblings", "at most 1", sum)?;
            }
        }
        Ok(Self { parent, conditional, siblings })
    }

    /// Creates `roots` complete trees in level order. Each feature above the last level has `branching` children.
    ///
    /// A root is on with probability `root`, and a child with probability `child` given its parent.
    ///
    /// # Errors
    /// The errors of [`Hierarchy::new`], and [`SuperpositionError::OutOfRange`] for no level.
    pub fn forest(
        roots: usize,
        branching: usize,
        levels: usize,
        root: f64,
        child: f64,
        siblings: Siblings,
    ) -> Result<Self, SuperpositionError> {
        ensure(levels > 0, "levels", "at least 1", 0.0)?;
        let mut parent = vec![None; roots];
        let mut above = 0..roots;
        for _ in 1..levels {
            let start = parent.len();
            for p in above {
                parent.extend(std::iter::repeat_n(Some(p), branching));
            }
            above = start..parent.len();
        }
        let conditional = parent.iter().map(|p| if p.is_none() { root } else { child }).collect();
        Self::new(parent, conditional, siblings)
    }

    /// Returns the parent of each feature.
    pub fn parents(&self) -> &[Option<usize>] {
        &self.parent
    }

    /// Returns the on-probability of each feature: the product of its own conditional probability and those of its ancestors.
    pub fn marginals(&self) -> Vec<f64> {
        let mut marginal: Vec<f64> = Vec::with_capacity(self.parent.len());
        for (above, p) in self.parent.iter().zip(&self.conditional) {
            marginal.push(p * above.map_or(1.0, |above| marginal[above]));
        }
        marginal
    }
}

impl Source for Hierarchy {
    fn features(&self) -> usize {
        self.parent.len()
    }

    fn fill_row(&self, row: &mut [f64], stream: &mut RngStream) {
        // For each parent of exclusive children: the point drawn in the unit interval, and the part of the interval in use.
        let mut taken: Vec<(f64, f64)> = match self.siblings {
            Siblings::Exclusive => vec![(-1.0, 0.0); row.len()],
            Siblings::Independent => Vec::new(),
        };
        for i in 0..row.len() {
            let p = self.conditional[i];
            let on = match (self.parent[i], self.siblings) {
                (Some(above), _) if row[above] == 0.0 => false,
                (Some(above), Siblings::Exclusive) => {
                    let (point, used) = &mut taken[above];
                    if *point < 0.0 {
                        *point = stream.uniform();
                    }
                    let start = *used;
                    *used += p;
                    (start..start + p).contains(point)
                }
                _ => stream.bernoulli(p),
            };
            // A value of exactly 0 would hide the children of a feature that is on.
            row[i] = if on { 1.0 - stream.uniform() } else { 0.0 };
        }
    }
}
