use super::engine::States;
use super::kernel_attention::Divided;
use super::problem::{Problem, Reach};
use super::random_features::Drawn;
use super::{FeatureMap, Form};
use crate::error::check_shape;
use crate::{AttentionError, Element};
use ndarray::{Array2, Array3, ArrayRef3, s};

/// What came of running a sequence through a state, with all that its derivative needs.
///
/// The sequence continues where it stopped: hand [`Pass::state`] to the next call as its initial state.
#[derive(Clone, Debug)]
pub struct Pass<F> {
    /// The output (h, t, e).
    pub out: Array3<F>,
    /// The state after the last token (g, d, e). Under a [`Denominator`](super::Denominator) of weights it has one more
    /// column, the sum of the keys; with a feature map, d is the number of features.
    pub state: Array3<F>,
    problem: Problem<F>,
    states: States<F>,
    map: Mapped<F>,
    divided: Option<Divided<F>>,
}

/// How the queries and keys of the recurrence were made from those that were given.
#[derive(Clone, Debug)]
pub(super) enum Mapped<F> {
    AsGiven,
    /// By a feature map, with the given q and k.
    By(FeatureMap, Array3<F>, Array3<F>),
    /// By random features.
    Random(Box<Drawn<F>>),
}

/// The gradients by all inputs, in their shapes; a direction for [`Pass::jvp`] has the same form.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearGradients<F> {
    /// By q (h, t, d).
    pub q: Array3<F>,
    /// By k (g, t, d).
    pub k: Array3<F>,
    /// By v (g, t, e).
    pub v: Array3<F>,
    /// By the log-decay: (g, t, d) per channel, (g, t, 1) per token, (g, 1, 1) per head.
    pub log_decay: Option<Array3<F>>,
    /// By β (g, t).
    pub beta: Option<Array2<F>>,
    /// By the initial state, in its shape.
    pub initial: Array3<F>,
}

impl<F: Element> Pass<F> {
    /// Runs a checked problem.
    pub(super) fn run(problem: Problem<F>) -> Result<Self, AttentionError> {
        let (out, states) = F::linear_forward(&problem);
        let state = states.slice(s![.., -1, .., ..]).to_owned();
        let keys = problem.k.dim().1;
        if let Some(((head, token, _), _)) = out.indexed_iter().find(|(_, x): &(_, &F)| !x.is_finite()) {
            // Within a chunk every row of a product meets every other, so only its end is known.
            let token = match (problem.reach, problem.form) {
                (Reach::Past, Form::Recurrent) => token,
                (Reach::Past, _) => {
                    let block = problem.blocks().into_iter().find(|block| block.contains(&token));
                    block.map_or(token, |block| block.end - 1)
                }
                (Reach::All, _) => keys,
            };
            return Err(AttentionError::StateOverflow { head, token });
        }
        let mut numbers = state.indexed_iter();
        if let Some(((group, _, _), _)) = numbers.find(|(_, x): &(_, &F)| !x.is_finite()) {
            let head = problem.readers(group).first().copied().unwrap_or(group);
            return Err(AttentionError::StateOverflow { head, token: keys });
        }
        Ok(Self { out, state, problem, states, map: Mapped::AsGiven, divided: None })
    }

    /// Runs a problem whose q and k were mapped, and divides by the sum of the weights when asked to.
    pub(super) fn run_mapped(
        problem: Problem<F>,
        map: Mapped<F>,
        epsilon: Option<F>,
    ) -> Result<Self, AttentionError> {
        let pass = Self { map, ..Self::run(problem)? };
        let Some(epsilon) = epsilon else { return Ok(pass) };
        let divided = Divided::new(&pass.out, epsilon);
        Ok(Self { out: divided.out(&pass.out), divided: Some(divided), ..pass })
    }

    /// A direction of zeros, in the shapes of the inputs, to be filled for [`Pass::jvp`].
    pub fn direction(&self) -> LinearGradients<F> {
        let [q, k] = match &self.map {
            Mapped::AsGiven => [self.problem.q.dim(), self.problem.k.dim()],
            Mapped::By(_, q, k) => [q.dim(), k.dim()],
            Mapped::Random(drawn) => drawn.shapes(),
        };
        let (g, s, e) = self.problem.v.dim();
        // The column of ones that sums the keys was not given.
        let v = (g, s, e - usize::from(self.divided.is_some()));
        LinearGradients {
            q: Array3::zeros(q),
            k: Array3::zeros(k),
            v: Array3::zeros(v),
            log_decay: self.problem.log_decay.as_ref().map(|x| Array3::zeros(x.dim())),
            beta: self.problem.beta.as_ref().map(|x| Array2::zeros(x.dim())),
            initial: Array3::zeros(self.state.dim()),
        }
    }

    /// The derivative along a direction in all inputs (forward mode): that of the output and that of the final state.
    ///
    /// # Shapes
    /// `direction` as [`Pass::direction`]; the results as [`Pass::out`] and [`Pass::state`].
    ///
    /// # Errors
    /// [`AttentionError::Shape`] when a shape is another; [`AttentionError::Parameter`] for a decay or β that is missing, or that
    /// the pass does not have.
    ///
    /// # Determinism
    /// The same bits on any number of threads.
    ///
    /// # Examples
    /// ```
    /// use collimate_attention::linear::{Form, Setting, retention};
    /// use collimate_attention::{HeadMap, Scale};
    /// use ndarray::{Array1, Array3};
    /// let setting = Setting { scale: Scale::Fixed(1.0), heads: HeadMap::MultiHead, form: Form::Parallel };
    /// let one = Array3::<f64>::ones((1, 3, 1));
    /// let pass = retention(&setting, &one, &one, &one, &Array1::from_elem(1, 0.5_f64.ln()), None)?;
    /// let mut direction = pass.direction();
    /// direction.log_decay = Some(Array3::ones((1, 1, 1)));
    /// let (out, _) = pass.jvp(&direction)?;
    /// assert!((out[[0, 2, 0]] - 1.0).abs() < 1e-15); // by log γ of 1 + γ + γ²: γ + 2 γ²
    /// # Ok::<(), collimate_attention::AttentionError>(())
    /// ```
    pub fn jvp(&self, direction: &LinearGradients<F>) -> Result<(Array3<F>, Array3<F>), AttentionError> {
        self.check_direction(direction)?;
        let mut along = direction.clone();
        match &self.map {
            Mapped::AsGiven => {}
            Mapped::By(map, q, k) => {
                map.slope(q, &mut along.q);
                map.slope(k, &mut along.k);
            }
            Mapped::Random(drawn) => (along.q, along.k) = drawn.jvp(&direction.q, &direction.k),
        }
        let Some(divided) = &self.divided else {
            return Ok(F::linear_jvp(&self.problem, &self.states, &along));
        };
        along.v = Array3::zeros(self.problem.v.dim());
        along.v.slice_mut(s![.., .., ..-1]).assign(&direction.v);
        let (undivided, state) = F::linear_jvp(&self.problem, &self.states, &along);
        Ok((divided.jvp(&self.out, &undivided), state))
    }

    fn check_direction(&self, direction: &LinearGradients<F>) -> Result<(), AttentionError> {
        let expected = self.direction();
        let same = |name, axes, a: &Array3<F>, b: &Array3<F>| check_shape(name, axes, a.shape(), b.shape());
        same("the direction of q", "(h, t, d)", &expected.q, &direction.q)?;
        same("the direction of k", "(g, t, d)", &expected.k, &direction.k)?;
        same("the direction of v", "(g, t, e)", &expected.v, &direction.v)?;
        same("the direction of initial", "(g, d, e)", &expected.initial, &direction.initial)?;
        let only_one = |name, there: bool| {
            let problem = if there { "is missing in the direction" } else { "is not an input of the pass" };
            Err(AttentionError::Parameter { name, problem })
        };
        match (&expected.log_decay, &direction.log_decay) {
            (Some(a), Some(b)) => same("the direction of log_decay", "(as the decay)", a, b)?,
            (None, None) => {}
            (there, _) => only_one("log_decay", there.is_some())?,
        }
        match (&expected.beta, &direction.beta) {
            (Some(a), Some(b)) => check_shape("the direction of beta", "(g, t)", a.shape(), b.shape()),
            (None, None) => Ok(()),
            (there, _) => only_one("beta", there.is_some()),
        }
    }

    /// The gradients of a loss by all inputs, from those by the output and, when the loss reads it, by the final state.
    ///
    /// # Shapes
    /// `d_out` as [`Pass::out`], `d_state` as [`Pass::state`].
    ///
    /// # Errors
    /// [`AttentionError::Shape`] when a shape is another.
    ///
    /// # Determinism
    /// The same bits on any number of threads: a key head is one task.
    pub fn backward(
        &self,
        d_out: &ArrayRef3<F>,
        d_state: Option<&ArrayRef3<F>>,
    ) -> Result<LinearGradients<F>, AttentionError> {
        check_shape("d_out", "(h, t, e)", self.out.shape(), d_out.shape())?;
        let nothing = Array3::zeros(self.state.dim());
        let d_state = d_state.unwrap_or(&nothing);
        check_shape("d_state", "(g, d, e)", self.state.shape(), d_state.shape())?;
        let mut gradients = match &self.divided {
            None => F::linear_backward(&self.problem, &self.states, d_out, d_state),
            Some(divided) => {
                let d_undivided = divided.backward(&self.out, d_out);
                let mut all = F::linear_backward(&self.problem, &self.states, &d_undivided, d_state);
                // The column of ones that summed the keys belongs to nobody.
                all.v = all.v.slice(s![.., .., ..-1]).to_owned();
                all
            }
        };
        match &self.map {
            Mapped::AsGiven => {}
            Mapped::By(map, q, k) => {
                map.slope(q, &mut gradients.q);
                map.slope(k, &mut gradients.k);
            }
            Mapped::Random(drawn) => {
                (gradients.q, gradients.k) = drawn.backward(&gradients.q, &gradients.k);
            }
        }
        Ok(gradients)
    }
}
