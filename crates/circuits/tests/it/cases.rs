//! The recorded cases: weights, prompts and expected tensors.

use collimate_circuits::{Answer, Pair};
use collimate_tensor::files::Safetensors;
use collimate_transformer::{Model, Precision};
use ndarray::ArrayD;
use serde_json::Value;
use std::path::PathBuf;

/// The models with recorded values.
pub(crate) const MODELS: [&str; 3] = ["gpt2_2", "llama_2", "llama_gqa_3"];

/// A model with a pair of prompts, and tensors that another library computed in f64 from its weights.
pub(crate) struct Case {
    pub(crate) folder: PathBuf,
    pub(crate) about: Value,
    expected: Safetensors,
    reference: Safetensors,
}

impl Case {
    pub(crate) fn of_model(name: &str) -> Self {
        Self::open(&format!("models/{name}"))
    }

    pub(crate) fn open(place: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(place);
        let text = std::fs::read_to_string(folder.join("case.json")).unwrap();
        let open = |name: &str| Safetensors::open(folder.join(name)).unwrap();
        let (expected, reference) = (open("expected.safetensors"), open("reference.safetensors"));
        Self { about: serde_json::from_str(&text).unwrap(), expected, reference, folder }
    }

    pub(crate) fn model<F: Precision>(&self) -> Model<F> {
        Model::open(&self.folder).unwrap()
    }

    pub(crate) fn ids(&self, key: &str) -> Vec<u32> {
        let list = self.about[key].as_array().unwrap();
        list.iter().map(|id| id.as_u64().unwrap() as u32).collect()
    }

    pub(crate) fn pair(&self) -> Pair {
        Pair::new(self.ids("clean"), self.ids("corrupt")).unwrap()
    }

    pub(crate) fn metric(&self) -> Answer {
        let id = |key: &str| self.about[key].as_u64().unwrap() as u32;
        Answer::LogitDifference { answer: id("answer"), wrong: id("wrong") }
    }

    /// Returns the names of the tensors that begin with a text.
    pub(crate) fn names(&self, start: &str) -> Vec<String> {
        let names = self.expected.names().chain(self.reference.names());
        names.filter(|name| name.starts_with(start)).map(str::to_owned).collect()
    }

    /// Returns a recorded tensor.
    pub(crate) fn tensor(&self, name: &str) -> ArrayD<f64> {
        let file = if self.expected.shape(name).is_some() { &self.expected } else { &self.reference };
        file.read(name).unwrap_or_else(|error| panic!("{name}: {error}")).to_f64()
    }

    /// Returns a recorded tensor of whole numbers.
    pub(crate) fn integers(&self, name: &str) -> ArrayD<i64> {
        let file = if self.expected.shape(name).is_some() { &self.expected } else { &self.reference };
        file.read(name).unwrap().to_i64().unwrap()
    }

    /// Asserts that an array has the recorded values: |a − b| ≤ atol + rtol·|b|, the tolerance of the recording. In f64 rtol 1e-9 and
    /// atol 1e-11, in f32 rtol 2e-5 and atol 2e-5 of the largest entry.
    pub(crate) fn assert_recorded<'a>(
        &self,
        name: &str,
        given: impl IntoIterator<Item = &'a f64>,
        precision: &str,
    ) {
        let expected = self.tensor(name);
        let given: Vec<f64> = given.into_iter().copied().collect();
        assert_eq!(given.len(), expected.len(), "{name}: as many values as recorded");
        let most = expected.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        let (rtol, atol) = if precision == "f64" { (1e-9, 1e-11) } else { (2e-5, 2e-5 * most) };
        for (index, (a, b)) in given.iter().zip(&expected).enumerate() {
            let off = (a - b).abs();
            assert!(
                off <= atol + rtol * b.abs(),
                "{}: {name}[{index}] is {a}, recorded {b}",
                self.folder.display()
            );
        }
    }
}
