//! `collimate rlct`.

use anyhow::{Context, Result, bail};
use collimate_slt::{
    Certainty, LearningCoefficient, Neighbourhood, NormalCrossing, Polynomial, Product, Rational,
    deep_linear, free_gaussian_mixture, gaussian_mixture, reduced_rank, toy_model_polygon, vandermonde,
};
use serde_json::{Value, json};

/// The options of `collimate rlct`.
#[derive(clap::Args)]
#[command(after_help = "\
Models:
  regular D            a regular model with D parameters
  reduced-rank M H N   reduced-rank regression from R^M through R^H to R^N; the true map has the rank --rank
  deep-linear H0 H1 …  a deep linear network of these widths; the true map has the rank --rank
  tanh H               H tanh units with one input and one output; the true function is zero
  vandermonde H Q [M]  H units with one input and M outputs (1 by default), whose activation function has the
                       powers 1, 1 + Q, 1 + 2Q, …; the true function is zero; tanh has Q = 2
  mixture              (1 − a) N(0,1) + a N(b,1); the true distribution is N(0,1)
  free-mixture         (1 − a) N(b,1) + a N(c,1) with all three free; the true distribution is N(0,1)
  crossing K1 K2 …     the product of w_i^(2 K_i)
  gon K C              the polygon with K corners of C features in the toy model of superposition;
                       --dead of the unused features are switched off

Polynomials are written as x^2*y, x²y, x**2 y or x^{2} y. Up to three letters in a row are a product. A name is
one letter or a Greek letter spelled out, with or without a subscript: x, x1, x_1, w_max, theta. The answer names
the variables that it found.

Examples:
  collimate rlct \"x^2*y^4 + x^4*y^2\"
  collimate rlct \"x*y - z*w\" --square
  collimate rlct \"(x*y)^2\" --prior \"x^2\"
  collimate rlct \"x^2*(x - 1)^4*y^2\" --at \"x = 1\"
  collimate rlct \"(x + y)^2\" --non-negative \"x, y\"
  collimate rlct deep-linear 10 10 10 10 --rank 5")]
pub(crate) struct Options {
    /// A polynomial whose minimum is 0, at the origin or at the point --at; or the name of a model.
    #[arg(value_name = "POLYNOMIAL|MODEL", allow_hyphen_values = true)]
    subject: String,
    /// The sizes of the model.
    #[arg(value_name = "SIZE", allow_negative_numbers = true)]
    sizes: Vec<String>,
    /// The rank of the true map of a linear network; 0 by default.
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    rank: Option<usize>,
    /// The number of unused features of a polygon that are switched off; all by default.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    dead: Option<usize>,
    /// Take the square of the polynomial.
    #[arg(long)]
    square: bool,
    /// The monomial that says how the prior vanishes at the origin, such as "x^2*y".
    #[arg(long, value_name = "MONOMIAL", allow_hyphen_values = true)]
    prior: Option<String>,
    /// The point at which the polynomial is analysed, such as "x = 1, y = -1/2"; other variables are 0.
    #[arg(long, value_name = "POINT", allow_hyphen_values = true)]
    at: Option<String>,
    /// The variables that take no negative values, such as "x, y".
    #[arg(long, value_name = "NAMES")]
    non_negative: Option<String>,
    /// The largest number of steps of the analysis; 5000000 by default. It bounds the time, and the result does not
    /// depend on the machine.
    #[arg(long, value_name = "STEPS", allow_negative_numbers = true)]
    work: Option<u64>,
    /// Print JSON: λ as a fraction in a string, the multiplicity, whether both are certified, and the variables.
    #[arg(long)]
    json: bool,
}

/// A learning coefficient, and the reason if it is only an upper bound.
struct Answer {
    lambda: Rational,
    multiplicity: Option<u32>,
    doubt: Option<String>,
    /// The variables of a polynomial.
    variables: Option<Vec<String>>,
}

impl From<LearningCoefficient> for Answer {
    fn from(found: LearningCoefficient) -> Self {
        Self { lambda: found.lambda, multiplicity: Some(found.multiplicity), doubt: None, variables: None }
    }
}

/// Prints λ and the multiplicity.
pub(crate) fn run(options: &Options) -> Result<()> {
    let answer = answer(options)?;
    if options.json {
        println!("{:#}", to_json(&answer));
    } else {
        println!("{}", to_text(&answer));
    }
    Ok(())
}

fn to_text(answer: &Answer) -> String {
    let Answer { lambda, multiplicity, doubt, variables } = answer;
    let mut text = match (doubt, multiplicity) {
        (None, Some(m)) => format!("lambda = {lambda}, multiplicity = {m}"),
        (None, None) => format!("lambda = {lambda}, multiplicity not known"),
        (Some(doubt), _) => format!("lambda <= {lambda} (not certified: {doubt})"),
    };
    if let Some(variables) = variables {
        text += &format!("\nvariables: {}", variables.join(", "));
    }
    text
}

fn to_json(answer: &Answer) -> Value {
    let mut value = json!({
        "lambda": answer.lambda.to_string(),
        "multiplicity": answer.multiplicity,
        "certified": answer.doubt.is_none(),
    });
    if let Some(doubt) = &answer.doubt {
        value["bound"] = "upper".into();
        value["reason"] = doubt.as_str().into();
    }
    if let Some(variables) = &answer.variables {
        value["variables"] = variables.clone().into();
    }
    value
}

fn answer(options: &Options) -> Result<Answer> {
    let rank = options.rank.unwrap_or(0);
    for (given, name, models) in [
        (options.rank.is_some(), "--rank", &["reduced-rank", "deep-linear"][..]),
        (options.dead.is_some(), "--dead", &["gon"]),
    ] {
        if given && !models.contains(&options.subject.as_str()) {
            bail!("{name} is for {}", models.join(" and "));
        }
    }
    if options.subject == "polynomial" {
        let [text] = &options.sizes[..] else {
            bail!("polynomial takes one polynomial, in quotes, but {} were given", options.sizes.len())
        };
        return polynomial(text, options);
    }
    let size = |text: &String| {
        let number = text.parse::<usize>();
        number.with_context(|| format!("invalid value '{text}': a size must be a whole number, at least 0"))
    };
    let sizes = options.sizes.iter().map(size).collect::<Result<Vec<_>>>()?;
    let model = match (options.subject.as_str(), &sizes[..]) {
        ("regular", &[d]) if d > 0 => {
            LearningCoefficient::regular(u32::try_from(d).context("the number of parameters is too large")?)
        }
        ("reduced-rank", &[m, h, n]) => reduced_rank(m, h, n, rank)?,
        ("deep-linear", widths) => deep_linear(widths, rank)?,
        ("tanh", &[hidden]) => vandermonde(hidden, 2, 1)?,
        ("vandermonde", &[hidden, step]) => vandermonde(hidden, step, 1)?,
        ("vandermonde", &[hidden, step, outputs]) => vandermonde(hidden, step, outputs)?,
        ("crossing", sizes) => NormalCrossing::flat(&powers(sizes)?)?.learning_coefficient(),
        ("mixture", []) => gaussian_mixture(),
        ("free-mixture", []) => free_gaussian_mixture(),
        ("gon", &[corners, features]) => {
            let dead = options.dead.unwrap_or(features.saturating_sub(corners));
            toy_model_polygon(corners, features, dead)?
        }
        (
            name @ ("regular" | "reduced-rank" | "tanh" | "vandermonde" | "mixture" | "free-mixture" | "gon"),
            _,
        ) => {
            let sizes = match name {
                "reduced-rank" => "three sizes, M H N",
                "gon" => "two sizes, corners and features",
                "vandermonde" => "two or three sizes, H Q M",
                "mixture" | "free-mixture" => "no sizes",
                _ => "one size, at least 1",
            };
            bail!("{name} takes {sizes}");
        }
        (text, []) => return polynomial(text, options),
        (text, _) => {
            bail!("unknown model {text:?}; `collimate rlct --help` lists them (a polynomial takes no sizes)")
        }
    };
    for (given, name) in [
        (options.square, "--square"),
        (options.prior.is_some(), "--prior"),
        (options.at.is_some(), "--at"),
        (options.non_negative.is_some(), "--non-negative"),
        (options.work.is_some(), "--work"),
    ] {
        if given {
            bail!(
                "{name} is for polynomials; a model has its value for the prior and the point of its formula"
            );
        }
    }
    Ok(model.into())
}

/// Converts the sizes of a normal crossing to powers.
pub(crate) fn powers(sizes: &[usize]) -> Result<Vec<u32>> {
    if sizes.is_empty() {
        bail!("crossing takes at least one power, K1 K2 …");
    }
    let power =
        |&k: &usize| u32::try_from(k).with_context(|| format!("a power must be below 2^32, but is {k}"));
    sizes.iter().map(power).collect()
}

fn polynomial(text: &str, options: &Options) -> Result<Answer> {
    let mut k: Product = text.parse().with_context(|| format!("in {text:?}"))?;
    if options.square {
        k = k.power(2)?;
    }
    let place = neighbourhood(&k, options)?;
    let found = match place.learning_coefficient(&k) {
        Err(error) if !options.square && error.is_about_negative_values() => {
            return Err(
                anyhow::Error::from(error).context("refused; --square uses the square of the polynomial")
            );
        }
        other => other?,
    };
    let doubt = match found.certainty {
        Certainty::Certified => None,
        Certainty::UpperBound { reason } => Some(reason),
    };
    let LearningCoefficient { lambda, multiplicity } = found.coefficient;
    let multiplicity = doubt.is_none().then_some(multiplicity);
    Ok(Answer { lambda, multiplicity, doubt, variables: Some(found.variables) })
}

/// Reads the point, the prior, the domain and the work.
fn neighbourhood(k: &Product, options: &Options) -> Result<Neighbourhood> {
    let mut place = Neighbourhood::default();
    let known = |option: &str, name: &str| -> Result<String> {
        let one: Polynomial = name.parse().with_context(|| format!("in {option}, at {name:?}"))?;
        match (one.variables(), one.degree()) {
            ([name], 1) if k.variables().contains(name) => Ok(name.clone()),
            _ => bail!(
                "{option} uses {}, which is not a variable of the polynomial ({})",
                name.trim(),
                k.variables().join(", ")
            ),
        }
    };
    if let Some(text) = &options.at {
        for entry in text.split(',') {
            let Some((name, value)) = entry.split_once('=') else {
                bail!("--at takes coordinates such as \"x = 1, y = -1/2\", but has {:?}", entry.trim());
            };
            let name = known("--at", name)?;
            let number: Polynomial = value.parse().with_context(|| format!("in --at, at {entry:?}"))?;
            if number.degree() > 0 {
                bail!("a coordinate must be a number, but --at has {:?}", entry.trim());
            }
            let value = number.terms().next().map(|(_, value)| value.clone()).unwrap_or_default();
            if place.point.insert(name.clone(), value).is_some() {
                bail!("--at gives {name} twice");
            }
        }
    }
    let is_moved = |place: &Neighbourhood, name: &String| {
        place.point.get(name).is_some_and(|x| *x != Default::default())
    };
    if let Some(text) = &options.prior {
        let monomial: Polynomial = text.parse().with_context(|| format!("in the prior {text:?}"))?;
        let terms: Vec<_> = monomial.terms().collect();
        let [(exponents, coefficient)] = terms[..] else {
            bail!("the prior must be one term, but is {text:?}")
        };
        if !coefficient.is_integer()
            || coefficient.to_integer() != 1.into()
            || exponents.iter().all(|e| *e == 0)
        {
            bail!("the prior must be a product of powers such as \"x^2*y\", but is {text:?}");
        }
        for (name, &exponent) in monomial.variables().iter().zip(exponents).filter(|(_, e)| **e > 0) {
            if !k.variables().contains(name) {
                bail!("the prior uses {name}, which is not a variable of the polynomial");
            }
            if is_moved(&place, name) {
                bail!("the prior vanishes where {name} = 0, but --at is a point where {name} is not 0");
            }
            place.prior.insert(name.clone(), exponent);
        }
    }
    for name in options.non_negative.iter().flat_map(|text| text.split(',')) {
        let name = known("--non-negative", name)?;
        if is_moved(&place, &name) {
            bail!("--non-negative {name} has no effect at a point where {name} is not 0; leave it out");
        }
        place.non_negative.insert(name);
    }
    if let Some(work) = options.work {
        if work == 0 {
            bail!("--work must be at least 1");
        }
        place.work = work;
    }
    Ok(place)
}
