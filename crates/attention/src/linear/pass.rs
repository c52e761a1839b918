use super::Form;
use super::mapped::Mapped;
use super::normalised::Normalised;
use super::problem::{LinearGradients, Problem, Reach, States};
use crate::error::{Overflow, check_shape};
use crate::{AttentionError, Precision};
use ndarray::{Array2, Array3, ArrayRef3, s};

/// The result of running a sequence through a state, with everything that its derivative needs.
///
/// To continue the sequence, pass [`Pass::state`] to the next call as its initial state.
#[derive(Clone, Debug)]
pub struct Pass<F> {
    /// The output `[h, t, e]`.
    pub out: Array3<F>,
    /// The state after the last token `[g, d, e]`. Under a [`Denominator`](super::Denominator) of weights it has one more
    /// column, the sum of the keys. With a feature map, d is the number of features.
    pub state: Array3<F>,
    problem: Problem<F>,
    states: States<F>,
    map: Mapped<F>,
    normalised: Option<Normalised<F>>,
}

impl<F: Precision> Pass<F> {
    /// Runs a checked problem.
    pub(super) fn run(problem: Problem<F>) -> Result<Self, AttentionError> {
        let (out, states) = F::linear_forward(&problem);
        let state = states.slice(s![.., -1, .., ..]).to_owned();
        let keys = problem.k.dim().1;
        if let Some(((head, token, _), _)) = out.indexed_iter().find(|(_, x): &(_, &F)| !x.is_finite()) {
            // The products of a chunk combine all its tokens, so only the end of the chunk is known.
            let token = match (problem.reach, problem.form) {
                (Reach::Past, Form::Recurrent) => token,
                (Reach::Past, _) => {
                    let block = problem.blocks().into_iter().find(|block| block.contains(&token));
                    block.map_or(token, |block| block.end - 1)
                }
                (Reach::All, _) => keys,
            };
            return Err(Overflow::State { head, token }.into());
        }
        let mut numbers = state.indexed_iter();
        if let Some(((group, _, _), _)) = numbers.find(|(_, x): &(_, &F)| !x.is_finite()) {
            let head = problem.readers(group).first().copied().unwrap_or(group);
            return Err(Overflow::State { head, token: keys }.into());
        }
        Ok(Self { out, state, problem, states, map: Mapped::Unchanged, normalised: None })
    }

    /// Runs a problem whose q and k are features. With ε the values get a column of ones, so that the state contains Σ φ(k), and the
    /// output is divided by the sum of the weights plus ε.
    pub(super) fn run_mapped(
        mut problem: Problem<F>,
        map: Mapped<F>,
        epsilon: Option<F>,
        initial: Option<&ArrayRef3<F>>,
    ) -> Result<Self, AttentionError> {
        let (g, t, e) = problem.v.dim();
        if epsilon.is_some() {
            let mut v = Array3::ones((g, t, e + 1));
            v.slice_mut(s![.., .., ..e]).assign(&problem.v);
            problem.v = v;
        }
        problem.initial = Array3::zeros((g, problem.k.dim().2, problem.v.dim().2));
        let pass = Self { map, ..Self::run(problem.starting(initial)?)? };
        let Some(epsilon) = epsilon else { return Ok(pass) };
        let normalised = Normalised::new(&pass.out, epsilon);
        Ok(Self { out: normalised.out(&pass.out), normalised: Some(normalised), ..pass })
    }

    /// Returns a direction of zeros with the shapes of the inputs. Fill it for [`Pass::jvp`].
    pub fn direction(&self) -> LinearGradients<F> {
        let [q, k] = self.map.shapes(&self.problem);
        let (g, s, e) = self.problem.v.dim();
        // The caller's values lack the column of ones that sums the keys.
        let v = (g, s, e - usize::from(self.normalised.is_some()));
        LinearGradients {
            q: Array3::zeros(q),
            k: Array3::zeros(k),
            v: Array3::zeros(v),
            log_decay: self.problem.log_decay.as_ref().map(|x| Array3::zeros(x.dim())),
            beta: self.problem.beta.as_ref().map(|x| Array2::zeros(x.dim())),
            initial: Array3::zeros(self.state.dim()),
        }
    }

    /// Computes the derivatives of the output and of the final state along a direction in all inputs (forward mode).
    ///
    /// # Shapes
    /// `direction` has the shapes of [`Pass::direction`], the results have the shapes of [`Pass::out`] and [`Pass::state`].
    ///
    /// # Errors
    /// [`AttentionError::Shape`] if a shape differs, [`AttentionError::Parameter`] if a decay or β is missing or is not an input of
    /// the pass.
    ///
    /// # Determinism
    /// The bits are the same on any number of threads.
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
        self.map.along(&mut along.q, &mut along.k);
        let Some(normalised) = &self.normalised else {
            return Ok(F::linear_jvp(&self.problem, &self.states, &along));
        };
        along.v = Array3::zeros(self.problem.v.dim());
        along.v.slice_mut(s![.., .., ..-1]).assign(&direction.v);
        let (unnormalised, state) = F::linear_jvp(&self.problem, &self.states, &along);
        Ok((normalised.jvp(&self.out, &unnormalised), state))
    }

    fn check_direction(&self, direction: &LinearGradients<F>) -> Result<(), AttentionError> {
        let expected = self.direction();
        let same = |name, axes, a: &Array3<F>, b: &Array3<F>| check_shape(name, axes, a.shape(), b.shape());
        same("the direction of q", "[h, t, d]", &expected.q, &direction.q)?;
        same("the direction of k", "[g, t, d]", &expected.k, &direction.k)?;
        same("the direction of v", "[g, t, e]", &expected.v, &direction.v)?;
        same("the direction of initial", "[g, d, e]", &expected.initial, &direction.initial)?;
        let only_one = |name, there: bool| {
            let problem = if there { "is missing in the direction" } else { "is not an input of the pass" };
            Err(AttentionError::Parameter { name, problem })
        };
        match (&expected.log_decay, &direction.log_decay) {
            (Some(a), Some(b)) => same("the direction of log_decay", "(the shape of the decay)", a, b)?,
            (None, None) => {}
            (there, _) => only_one("log_decay", there.is_some())?,
        }
        match (&expected.beta, &direction.beta) {
            (Some(a), Some(b)) => check_shape("the direction of beta", "[g, t]", a.shape(), b.shape()),
            (None, None) => Ok(()),
            (there, _) => only_one("beta", there.is_some()),
        }
    }

    /// Computes the gradients of a loss by all inputs from its gradients by the output and, if the loss depends on it, by the final state.
    ///
    /// # Shapes
    /// `d_out` has the shape of [`Pass::out`], `d_state` the shape of [`Pass::state`].
    ///
    /// # Errors
    /// [`AttentionError::Shape`] if a shape differs.
    ///
    /// # Determinism
    /// The bits are the same on any number of threads: each key head is one task.
    pub fn backward(
        &self,
        d_out: &ArrayRef3<F>,
        d_state: Option<&ArrayRef3<F>>,
    ) -> Result<LinearGradients<F>, AttentionError> {
        check_shape("d_out", "[h, t, e]", self.out.shape(), d_out.shape())?;
        let nothing = Array3::zeros(self.state.dim());
        let d_state = d_state.unwrap_or(&nothing);
        check_shape("d_state", "[g, d, e]", self.state.shape(), d_state.shape())?;
        let mut gradients = match &self.normalised {
            None => F::linear_backward(&self.problem, &self.states, d_out, d_state),
            Some(normalised) => {
                let d_unnormalised = normalised.backward(&self.out, d_out);
                let mut all = F::linear_backward(&self.problem, &self.states, &d_unnormalised, d_state);
                // The column of ones that sums the keys is no input of the caller.
                all.v = all.v.slice(s![.., .., ..-1]).to_owned();
                all
            }
        };
        self.map.back(&mut gradients.q, &mut gradients.k);
        Ok(gradients)
    }
}
