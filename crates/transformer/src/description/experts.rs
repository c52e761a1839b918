/// A mixture of experts: a router sends each token to some of many MLPs, whose results are added with weights.
///
/// ```text
/// r = W_router y (+ b),   S the k experts with the largest r,   M(y) = Σ_{j in S} w_j M_j(y)
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Experts {
    /// The number of experts n.
    pub count: usize,
    /// The number of experts k that each token is sent to. Of equal logits the earlier expert counts.
    pub chosen: usize,
    /// The weights of the chosen experts.
    pub weights: ExpertWeights,
    /// True if the router has a bias.
    pub router_bias: bool,
    /// The bounded gate that replaces the nonlinearity of the MLP, if there is one.
    pub bounded_gate: Option<BoundedGate>,
}

impl Experts {
    /// Returns `count` experts of which each token is sent to `chosen`, with weights that add up to 1.
    pub fn new(count: usize, chosen: usize) -> Self {
        let weights = ExpertWeights::SoftmaxOfChosen;
        Self { count, chosen, weights, router_bias: false, bounded_gate: None }
    }
}

/// The weights of the experts that a token is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExpertWeights {
    /// The softmax over all experts, of which the chosen ones keep their part. The weights add up to less than 1.
    SoftmaxOfAll,
    /// The softmax over the chosen experts; the same as the softmax over all, divided by the sum of the chosen parts.
    SoftmaxOfChosen,
}

/// A gate with bounds: with g cut off above c and u cut off at −c and c, the hidden activations are (u + 1) ∘ g σ(α g).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct BoundedGate {
    /// The bound c.
    pub limit: f64,
    /// The factor α inside the logistic function σ.
    pub slope: f64,
}

impl BoundedGate {
    /// Returns the gate with a bound and a factor inside the logistic function.
    pub fn new(limit: f64, slope: f64) -> Self {
        Self { limit, slope }
    }
}
