/// The number types that a model computes in: f32 and f64.
pub trait Precision:
    collimate_attention::Precision + collimate_grad::Precision + crate::arrays::Number
{
}

impl Precision for f32 {}
impl Precision for f64 {}

pub(crate) use Precision as Real;
