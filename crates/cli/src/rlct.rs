//! `collimate rlct`.

use anyhow::{Context, Result, bail};
use collimate_slt::{
    Certainty, LearningCoefficient, NormalCrossing, Polynomial, PolynomialError, Rational, deep_linear,
    gaussian_mixture, learning_coefficient_with_prior, reduced_rank, tanh_network, toy_model_polygon,
};
use serde_json::{Value, json};

/// The options of `collimate rlct`.
#[derive(clap::Args)]
#[command(after_help = "\
Models:
  regular D            a regular model with D parameters
  reduced-rank M H N   reduced-rank regression from R^M through R^H to R^N; the true map has the rank --rank
  deep-linear H0 H1 …  a deep linear network of these widths; the true map has the rank --rank
  tanh H               H tanh units with one input and one output; the true function is zero (λ only)
  mixture              (1 − a) N(0,1) + a N(b,1); the true distribution is N(0,1)
  crossing K1 K2 …     the product of w_i^(2 K_i)
  gon K C              the polygon with K corners of C features in the toy model of superposition;
                       --dead of the unused features are switched off

Examples:
  collimate rlct \"x^2*y^4 + x^4*y^2\"
  collimate rlct \"x*y - z*w\" --square
  collimate rlct \"(x*y)^2\" --prior \"x^2\"
  collimate rlct deep-linear 10 10 10 10 --rank 5")]
pub(crate) struct Options {
    /// A polynomial whose minimum is 0, at the origin; or the name of a model.
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
    /// A monomial like which the prior vanishes at the origin, such as "x^2*y".
    #[arg(long, value_name = "MONOMIAL")]
    prior: Option<String>,
    /// Print JSON: λ as a fraction in a string, the multiplicity, and whether both are certified.
    #[arg(long)]
    json: bool,
}

/// A learning coefficient, and the reason if it is only an upper bound.
struct Answer {
    lambda: Rational,
    multiplicity: Option<u32>,
    doubt: Option<String>,
}

impl From<LearningCoefficient> for Answer {
    fn from(found: LearningCoefficient) -> Self {
        Self { lambda: found.lambda, multiplicity: Some(found.multiplicity), doubt: None }
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
    let Answer { lambda, multiplicity, doubt } = answer;
    match (doubt, multiplicity) {
        (None, Some(m)) => format!("lambda = {lambda}, multiplicity = {m}"),
        (None, None) => format!("lambda = {lambda}, multiplicity not known"),
        (Some(doubt), _) => format!("lambda <= {lambda} (not certified: {doubt})"),
    }
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
        ("tanh", &[hidden]) => {
            return Ok(Answer { lambda: tanh_network(hidden)?, multiplicity: None, doubt: None });
        }
        ("crossing", sizes) => NormalCrossing::flat(&powers(sizes)?)?.learning_coefficient(),
        ("mixture", []) => gaussian_mixture(),
        ("gon", &[corners, features]) => {
            let dead = options.dead.unwrap_or(features.saturating_sub(corners));
            toy_model_polygon(corners, features, dead)?
        }
        (name @ ("regular" | "reduced-rank" | "tanh" | "mixture" | "gon"), _) => {
            let sizes = match name {
                "reduced-rank" => "three sizes, M H N",
                "gon" => "two sizes, corners and features",
                "mixture" => "no sizes",
                _ => "one size, at least 1",
            };
            bail!("{name} takes {sizes}");
        }
        (text, []) => return polynomial(text, options),
        (text, _) => {
            bail!("unknown model {text:?}; `collimate rlct --help` lists them (a polynomial takes no sizes)")
        }
    };
    if options.square || options.prior.is_some() {
        bail!("--square and --prior are for polynomials");
    }
    Ok(model.into())
}

/// Returns true if `error` says that `k` is not a loss, but the square of `k` is one.
///
/// This is so if `k` vanishes at the origin: `k` is then refused because it is negative close to the origin.
pub(crate) fn only_the_sign_is_wrong(k: &Polynomial, error: &PolynomialError) -> bool {
    let vanishes = k.terms().all(|(exponents, _)| exponents.iter().any(|&exponent| exponent > 0));
    matches!(error, PolynomialError::NotALoss { .. }) && vanishes && k.terms().next().is_some()
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
    let mut k: Polynomial = text.parse().with_context(|| format!("in {text:?}"))?;
    if options.square {
        k = k.power(2)?;
    }
    let mut prior = vec![0; k.variables().len()];
    if let Some(text) = &options.prior {
        let monomial: Polynomial = text.parse().with_context(|| format!("in the prior {text:?}"))?;
        let terms: Vec<_> = monomial.terms().collect();
        let [(exponents, _)] = terms[..] else { bail!("the prior must be one term, but is {text:?}") };
        for (name, &exponent) in monomial.variables().iter().zip(exponents) {
            let Some(index) = k.variables().iter().position(|known| known == name) else {
                bail!("the prior uses {name}, which is not a variable of the polynomial");
            };
            prior[index] = exponent;
        }
    }
    let found = learning_coefficient_with_prior(&k, &prior);
    let found = match found {
        Err(error) if !options.square && only_the_sign_is_wrong(&k, &error) => {
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
    Ok(Answer { lambda, multiplicity: doubt.is_none().then_some(multiplicity), doubt })
}
