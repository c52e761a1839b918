//! `collimate rlct`.

use anyhow::{Context, Result, bail};
use collimate_slt::{
    Certainty, LearningCoefficient, NormalCrossing, Polynomial, Rational, SltError, deep_linear,
    gaussian_mixture, learning_coefficient_with_prior, reduced_rank, tanh_network, toy_model_gon,
};
use serde_json::{Value, json};

/// The options of `collimate rlct`.
#[derive(clap::Args)]
#[command(after_help = "\
Models:
  regular D            a regular model with D parameters
  reduced-rank M H N   reduced-rank regression, x in R^M to R^H to R^N, at a true map of --rank
  deep-linear H0 H1 …  a deep linear network of these widths, at a true map of --rank
  tanh H               H tanh units with one input and one output, truth zero (λ only)
  mixture              (1 − a) N(0,1) + a N(b,1), truth N(0,1)
  crossing K1 K2 …     the product of w_i^(2 K_i)
  gon K C              the K-gon of C features in the toy model of superposition, --dead spare ones switched off

Examples:
  collimate rlct \"x^2*y^4 + x^4*y^2\"
  collimate rlct \"x*y - z*w\" --square
  collimate rlct \"(x*y)^2\" --prior \"x^2\"
  collimate rlct deep-linear 10 10 10 10 --rank 5")]
pub(crate) struct Options {
    /// A polynomial that is least, and 0, at the origin; or the name of a model.
    #[arg(value_name = "POLYNOMIAL|MODEL", allow_hyphen_values = true)]
    what: String,
    /// The sizes of the model.
    #[arg(value_name = "SIZE", allow_negative_numbers = true)]
    sizes: Vec<String>,
    /// The rank of the true map of a linear network; 0 by default.
    #[arg(long, allow_negative_numbers = true)]
    rank: Option<usize>,
    /// How many of the spare features of a polygon are switched off; all by default.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    dead: Option<usize>,
    /// Take the square of the polynomial.
    #[arg(long)]
    square: bool,
    /// A monomial that the prior vanishes like, such as "x^2*y".
    #[arg(long, value_name = "MONOMIAL")]
    prior: Option<String>,
    /// Print JSON: λ as a fraction in a string, the multiplicity, and whether both are proved.
    #[arg(long)]
    json: bool,
}

/// What is known of λ.
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

/// Prints λ and m.
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
        if given && !models.contains(&options.what.as_str()) {
            bail!("{name} is for {}", models.join(" and "));
        }
    }
    if options.what == "polynomial" {
        let [text] = &options.sizes[..] else { bail!("polynomial takes one polynomial, in quotes") };
        return polynomial(text, options);
    }
    let size = |text: &String| {
        let number = text.parse::<usize>();
        number.with_context(|| format!("invalid value '{text}': a size is a whole number of at least 0"))
    };
    let sizes = options.sizes.iter().map(size).collect::<Result<Vec<_>>>()?;
    let model = match (options.what.as_str(), &sizes[..]) {
        ("regular", &[d]) if d > 0 => {
            LearningCoefficient::regular(u32::try_from(d).context("that many parameters")?)
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
            toy_model_gon(corners, features, dead)?
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
            bail!("{text:?} is not the name of a model, and a polynomial takes no sizes (see --help)")
        }
    };
    if options.square || options.prior.is_some() {
        bail!("--square and --prior are for polynomials");
    }
    Ok(model.into())
}

/// Whether what is no loss has a square that is one: it vanishes at the origin, so it must be negative near there.
pub(crate) fn only_the_sign_is_wrong(k: &Polynomial, error: &SltError) -> bool {
    let vanishes = k.terms().all(|(exponents, _)| exponents.iter().any(|&exponent| exponent > 0));
    matches!(error, SltError::NotALoss { .. }) && vanishes && k.terms().next().is_some()
}

/// The powers of a normal crossing.
pub(crate) fn powers(sizes: &[usize]) -> Result<Vec<u32>> {
    if sizes.is_empty() {
        bail!("crossing takes at least one power, K1 K2 …");
    }
    let power = |&k: &usize| u32::try_from(k).with_context(|| format!("{k} is too large a power"));
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
        let [(exponents, _)] = terms[..] else { bail!("the prior {text:?} is not one term") };
        for (name, &exponent) in monomial.variables().iter().zip(exponents) {
            let Some(index) = k.variables().iter().position(|known| known == name) else {
                bail!("the prior speaks of {name}, which the polynomial has not");
            };
            prior[index] = exponent;
        }
    }
    let found = learning_coefficient_with_prior(&k, &prior);
    let found = match found {
        Err(error) if !options.square && only_the_sign_is_wrong(&k, &error) => {
            return Err(anyhow::Error::from(error).context("refused; --square takes its square instead"));
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
