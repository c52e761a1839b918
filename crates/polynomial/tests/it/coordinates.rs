//! Invertible changes of coordinates do not change a certified value, and bounds stay above it.

use crate::coefficients::coefficient;
use collimate_polynomial::{LearningCoefficient, Neighbourhood, Polynomial, Product, learning_coefficient};

/// Losses with their known coefficients: λ as a fraction, and m.
const KNOWN: [(&str, i128, i128, u32); 26] = [
    ("x^2*y^4 + x^4*y^2", 1, 3, 1),
    ("(y^2 - x^3)^2", 5, 12, 1),
    ("(x^2 - 3*y^2)^2 + x^6", 1, 2, 2),
    ("x^2*y^2 + x^6 + y^6", 1, 2, 2),
    ("x^2*(x - 2*y)^2*(x + y^2)^4", 3, 14, 1),
    ("x^4 + y^6", 5, 12, 1),
    ("x^2 + y^4 + z^6", 11, 12, 1),
    ("x^4 + y^6 + z^8", 13, 24, 1),
    ("x^2*y^2*z^2", 1, 2, 3),
    ("x^2*y^4*z^2", 1, 4, 1),
    ("x^2 + y^2*z^2", 1, 1, 2),
    ("x^2*y^2 + y^2*z^2 + x^2*z^2", 3, 4, 1),
    ("x^2 + (y^2 - z^3)^2", 11, 12, 1),
    ("(x*y - z^2)^2", 1, 2, 1),
    ("(x^2 + y^2 + z^2)^2", 3, 4, 1),
    ("x^2*(x^2 + y^2 + z^2)", 1, 2, 1),
    ("(x*y*(x + y)*z)^2", 1, 3, 1),
    ("(x*y*z*(x + y + z))^2", 3, 8, 1),
    ("(x*y)^2 + (z*w)^2", 1, 1, 3),
    ("x^2 + y^2 + z^4*w^2", 5, 4, 1),
    ("(x*y - z*w)^2", 1, 2, 1),
    ("(x*y - z*w)^4", 1, 4, 1),
    ("((x-y)*(y-z)*(z-w)*(x-z)*(y-w)*(x-w))^2", 1, 4, 1),
    ("x^2 + y^4 + z^4 + w^6", 7, 6, 1),
    ("x^2*y^2*z^4*w^2", 1, 4, 1),
    ("x^4 + y^4 + z^4 + w^4 - 3*x*y*z*w", 1, 1, 1),
];

/// A small generator of numbers, so that the cases are always the same ones.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn coefficient(&mut self) -> i64 {
        self.below(5) as i64 - 2
    }
}

/// Returns images of the variables under a change with an invertible linear part, and a few terms of higher degree.
fn change(names: &[String], linear_only: bool, numbers: &mut Numbers) -> Vec<String> {
    let n = names.len();
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, numbers.below(i as u64 + 1) as usize);
    }
    // A triangular matrix in a random order of the variables, so that it is invertible.
    let mut images: Vec<String> = vec![String::new(); n];
    for (place, &i) in order.iter().enumerate() {
        let mut image = format!("{}*{}", if numbers.below(2) == 0 { 1 } else { -2 }, names[i]);
        for &j in &order[..place] {
            image += &format!(" + ({})*{}", numbers.coefficient(), names[j]);
        }
        if !linear_only && place > 0 && numbers.below(2) == 0 {
            let j = order[numbers.below(place as u64) as usize];
            image += &format!(" + ({})*{}^2", numbers.coefficient(), names[j]);
        }
        images[i] = image;
    }
    images
}

/// Checks one known loss under one change. Returns true if the value is certified.
fn check(
    text: &str,
    known: LearningCoefficient,
    linear_only: bool,
    as_written: bool,
    numbers: &mut Numbers,
) -> bool {
    let k: Polynomial = text.parse().unwrap();
    let images = change(k.variables(), linear_only, numbers);
    // The factors stay visible if the images are written into the text.
    let moved: Product = if as_written {
        let mut moved = String::new();
        for c in text.chars() {
            match k.variables().iter().position(|name| name.starts_with(c)) {
                Some(i) => moved += &format!("({})", images[i]),
                None => moved.push(c),
            }
        }
        moved.parse().unwrap()
    } else {
        let images: Vec<Polynomial> = images.iter().map(|image| image.parse().unwrap()).collect();
        let expanded: Polynomial = k.compose(&images).unwrap().to_string().parse().unwrap();
        Product::from(expanded)
    };
    // A small limit of work, so that many cases are tried. It leaves some values as bounds.
    let place = Neighbourhood { work: 200_000, ..Neighbourhood::default() };
    let found =
        place.learning_coefficient(&moved).unwrap_or_else(|error| panic!("{text} as {moved}: {error}"));
    if found.certified() {
        assert_eq!(found.coefficient, known, "{text} as {moved}");
    } else {
        assert!(found.coefficient.lambda >= known.lambda, "{text} as {moved}: {found}");
    }
    found.certified()
}

fn all(cases: usize, seed: u64) -> (usize, usize) {
    let mut numbers = Numbers(seed);
    let (mut certified, mut total) = (0, 0);
    for (text, numerator, denominator, m) in KNOWN {
        let known = coefficient(numerator, denominator, m);
        for case in 0..cases {
            total += 1;
            certified += usize::from(check(text, known, case % 2 == 0, case % 4 < 2, &mut numbers));
        }
    }
    (certified, total)
}

#[test]
fn known_losses_have_their_values() {
    for (text, numerator, denominator, m) in KNOWN {
        let found = learning_coefficient(text.parse::<Product>().unwrap()).unwrap();
        assert!(found.certified(), "{text}: {found}");
        assert_eq!(found.coefficient, coefficient(numerator, denominator, m), "{text}");
    }
}

#[test]
fn a_few_changes_of_coordinates_keep_the_value() {
    let (certified, total) = all(2, 7);
    println!("{certified} of {total} certified");
    assert!(2 * certified > total, "{certified} of {total}");
}

mod slow {
    use super::all;

    #[test]
    fn many_changes_of_coordinates_keep_the_value() {
        let (certified, total) = all(24, 1);
        println!("{certified} of {total} certified");
        assert!(2 * certified > total, "{certified} of {total}");
    }
}
