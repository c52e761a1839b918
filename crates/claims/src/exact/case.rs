//! Inputs that can be printed as Rust source and changed number by number.

use ndarray::{Array1, Array2, Array3};

/// An input of an exact claim.
///
/// `coordinates` lists its numbers in a fixed order. `with_coordinates` replaces them and keeps the shape. Shrinking and guided search
/// use both.
///
/// # Examples
/// ```
/// use collimate_claims::Case;
/// use ndarray::array;
/// let case = (array![[1.0, -0.5]], 3usize);
/// assert_eq!(case.literal(), "(array![[1.0, -0.5]], 3usize)");
/// assert_eq!(case.coordinates(), [1.0, -0.5, 3.0]);
/// assert!(case.with_coordinates(&[0.0, 0.0, -1.0]).is_none()); // no usize is −1
/// ```
pub trait Case: Clone + Send + Sync + 'static {
    /// Returns the input as Rust source.
    fn literal(&self) -> String;
    /// Returns the parts of a tuple as Rust source; any other input is one part.
    fn parts(&self) -> Vec<String> {
        vec![self.literal()]
    }
    /// Returns the numbers of the input.
    fn coordinates(&self) -> Vec<f64>;
    /// Returns an input of this shape with other numbers, or `None` if the type cannot hold one of them.
    ///
    /// `numbers` has the length of [`Case::coordinates`].
    fn with_coordinates(&self, numbers: &[f64]) -> Option<Self>;
}

fn float(x: f64, name: &str) -> Option<String> {
    if x.is_nan() {
        Some(format!("{name}::NAN"))
    } else if x.is_infinite() {
        Some(format!("{name}::{}", if x > 0.0 { "INFINITY" } else { "NEG_INFINITY" }))
    } else {
        None
    }
}

impl Case for f64 {
    fn literal(&self) -> String {
        float(*self, "f64").unwrap_or_else(|| format!("{self:?}"))
    }
    fn coordinates(&self) -> Vec<f64> {
        vec![*self]
    }
    fn with_coordinates(&self, numbers: &[f64]) -> Option<Self> {
        numbers.first().copied()
    }
}

impl Case for f32 {
    fn literal(&self) -> String {
        float(f64::from(*self), "f32").unwrap_or_else(|| format!("{self:?}f32"))
    }
    fn coordinates(&self) -> Vec<f64> {
        vec![f64::from(*self)]
    }
    fn with_coordinates(&self, numbers: &[f64]) -> Option<Self> {
        numbers.first().map(|&x| x as f32)
    }
}

macro_rules! unsigned {
    ($($type:ident)*) => {$(
        impl Case for $type {
            fn literal(&self) -> String {
                format!("{self}{}", stringify!($type))
            }
            fn coordinates(&self) -> Vec<f64> {
                vec![*self as f64]
            }
            fn with_coordinates(&self, numbers: &[f64]) -> Option<Self> {
                let x = *numbers.first()?;
                // An unchanged number must stay unchanged even beyond 2⁵³.
                if x == *self as f64 {
                    return Some(*self);
                }
                // 2⁵³: beyond it not every integer has an f64.
                (x >= 0.0 && x.fract() == 0.0 && x <= 9_007_199_254_740_992.0).then_some(x as $type)
            }
        }
    )*};
}
unsigned!(usize u64);

impl Case for bool {
    fn literal(&self) -> String {
        self.to_string()
    }
    fn coordinates(&self) -> Vec<f64> {
        vec![f64::from(u8::from(*self))]
    }
    fn with_coordinates(&self, numbers: &[f64]) -> Option<Self> {
        match numbers.first() {
            Some(0.0) => Some(false),
            Some(1.0) => Some(true),
            _ => None,
        }
    }
}

impl Case for String {
    fn literal(&self) -> String {
        format!("{self:?}.to_owned()")
    }
    fn coordinates(&self) -> Vec<f64> {
        Vec::new()
    }
    fn with_coordinates(&self, _: &[f64]) -> Option<Self> {
        Some(self.clone())
    }
}

fn row<'a>(items: impl IntoIterator<Item = &'a f64>) -> String {
    let items: Vec<String> = items.into_iter().map(Case::literal).collect();
    format!("[{}]", items.join(", "))
}

impl Case for Array1<f64> {
    fn literal(&self) -> String {
        if self.is_empty() { "Array1::<f64>::zeros(0)".to_owned() } else { format!("array!{}", row(self)) }
    }
    fn coordinates(&self) -> Vec<f64> {
        self.iter().copied().collect()
    }
    fn with_coordinates(&self, numbers: &[f64]) -> Option<Self> {
        (numbers.len() == self.len()).then(|| Array1::from_vec(numbers.to_vec()))
    }
}

impl Case for Array2<f64> {
    fn literal(&self) -> String {
        if self.is_empty() {
            return format!("Array2::<f64>::zeros({:?})", self.dim());
        }
        let rows: Vec<String> = self.outer_iter().map(|r| row(r.iter())).collect();
        format!("array![{}]", rows.join(", "))
    }
    fn coordinates(&self) -> Vec<f64> {
        self.iter().copied().collect()
    }
    fn with_coordinates(&self, numbers: &[f64]) -> Option<Self> {
        Array2::from_shape_vec(self.dim(), numbers.to_vec()).ok()
    }
}

impl Case for Array3<f64> {
    fn literal(&self) -> String {
        if self.is_empty() {
            return format!("Array3::<f64>::zeros({:?})", self.dim());
        }
        let plane = |p: ndarray::ArrayView2<f64>| {
            let rows: Vec<String> = p.outer_iter().map(|r| row(r.iter())).collect();
            format!("[{}]", rows.join(", "))
        };
        let planes: Vec<String> = self.outer_iter().map(plane).collect();
        format!("array![{}]", planes.join(", "))
    }
    fn coordinates(&self) -> Vec<f64> {
        self.iter().copied().collect()
    }
    fn with_coordinates(&self, numbers: &[f64]) -> Option<Self> {
        Array3::from_shape_vec(self.dim(), numbers.to_vec()).ok()
    }
}

impl<T: Case> Case for Vec<T> {
    fn literal(&self) -> String {
        let items: Vec<String> = self.iter().map(Case::literal).collect();
        format!("vec![{}]", items.join(", "))
    }
    fn coordinates(&self) -> Vec<f64> {
        self.iter().flat_map(Case::coordinates).collect()
    }
    fn with_coordinates(&self, numbers: &[f64]) -> Option<Self> {
        let mut rest = numbers;
        let mut out = Vec::with_capacity(self.len());
        for item in self {
            let (mine, others) = rest.split_at_checked(item.coordinates().len())?;
            out.push(item.with_coordinates(mine)?);
            rest = others;
        }
        rest.is_empty().then_some(out)
    }
}

macro_rules! tuple {
    ($($name:ident $index:tt),+) => {
        impl<$($name: Case),+> Case for ($($name,)+) {
            fn parts(&self) -> Vec<String> {
                vec![$(self.$index.literal()),+]
            }
            fn literal(&self) -> String {
                let items = self.parts();
                let comma = if items.len() == 1 { "," } else { "" };
                format!("({}{comma})", items.join(", "))
            }
            fn coordinates(&self) -> Vec<f64> {
                let mut out = Vec::new();
                $(out.extend(self.$index.coordinates());)+
                out
            }
            fn with_coordinates(&self, numbers: &[f64]) -> Option<Self> {
                let mut rest = numbers;
                let out = ($({
                    let (mine, others) = rest.split_at_checked(self.$index.coordinates().len())?;
                    rest = others;
                    self.$index.with_coordinates(mine)?
                },)+);
                rest.is_empty().then_some(out)
            }
        }
    };
}
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, G 5);

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn literals_are_rust_source() {
        assert_eq!(array![[1.0, f64::NAN]].literal(), "array![[1.0, f64::NAN]]");
        assert_eq!(array![[[1.0], [2.5]]].literal(), "array![[[1.0], [2.5]]]");
        assert_eq!(Array2::<f64>::zeros((0, 3)).literal(), "Array2::<f64>::zeros((0, 3))");
        assert_eq!(vec![(1.5f32, true)].literal(), "vec![(1.5f32, true)]");
        assert_eq!(("a\"b".to_owned(),).literal(), "(\"a\\\"b\".to_owned(),)");
        assert_eq!(1e-300.literal(), "1e-300");
        assert_eq!(f64::NEG_INFINITY.literal(), "f64::NEG_INFINITY");
    }

    #[test]
    fn coordinates_round_trip() {
        let case = (array![1.0, 2.0], vec![3u64, u64::MAX], false, "x".to_owned(), 0.5f32, array![[4.0]]);
        let back = case.with_coordinates(&case.coordinates()).unwrap();
        assert_eq!(back, case);
        assert!(case.with_coordinates(&[1.0]).is_none());
        assert!(true.with_coordinates(&[0.5]).is_none());
    }
}
