/// A number type that the operations compute in.
pub trait Real: collimate_attention::Precision + collimate_grad::Precision + crate::arrays::Number {}

impl Real for f32 {}
impl Real for f64 {}
