//! The text of `claims.lock`: TOML, one line a claim, sorted by id.

use super::lock::{Entry, Lock, Recorded};
use crate::error::ClaimsError;
use crate::meta::Tier;
use collimate_output::Existing;
use std::fmt::Write;
use std::path::Path;
use toml::{Table, Value};

const HEAD: &str = "\
# Recorded verdicts of the claims, by tier, under the seed below. Written by `collimate claims --bless`.
# A verdict that is no surprise elsewhere may be added by hand: accepts = [\"inconclusive\"], explanation = \"why\".
";

fn broken(location: impl Into<String>, reason: impl Into<String>) -> ClaimsError {
    ClaimsError::Lock { location: location.into(), reason: reason.into() }
}

impl Lock {
    /// Returns the text of the lock.
    ///
    /// # Examples
    /// ```
    /// use collimate_claims::Lock;
    /// let text = "seed = 3\n[claims]\n\"sae/x\" = { quick = \"upheld\", standard = \"refuted\" }\n";
    /// let lock = Lock::parse(text).unwrap();
    /// assert_eq!(Lock::parse(&lock.to_text()).unwrap(), lock);
    /// ```
    pub fn to_text(&self) -> String {
        // TOML integers end at 2⁶³.
        let seed =
            i64::try_from(self.seed).map_or_else(|_| format!("\"{}\"", self.seed), |seed| seed.to_string());
        let mut out = format!("{HEAD}seed = {seed}\n\n[claims]\n");
        let quoted = |text: &str| Value::String(text.to_owned()).to_string();
        // A line break would make TOML choose the form over several lines.
        let one_line = |text: &str| quoted(&text.split_whitespace().collect::<Vec<_>>().join(" "));
        for (id, entry) in &self.entries {
            let mut fields: Vec<String> =
                entry.verdicts.iter().map(|(tier, verdict)| format!("{tier} = \"{verdict}\"")).collect();
            if !entry.accepts.is_empty() {
                let accepts: Vec<String> =
                    entry.accepts.iter().map(|verdict| format!("\"{verdict}\"")).collect();
                fields.push(format!("accepts = [{}]", accepts.join(", ")));
            }
            if !entry.explanation.is_empty() {
                fields.push(format!("explanation = {}", one_line(&entry.explanation)));
            }
            let _ = writeln!(out, "{} = {{ {} }}", quoted(id), fields.join(", "));
        }
        out
    }

    /// Reads the text of a lock.
    ///
    /// # Errors
    /// [`ClaimsError::Lock`] with the place and what is wrong there.
    pub fn parse(text: &str) -> Result<Self, ClaimsError> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(0, |span| text[..span.start].lines().count().max(1));
            broken(format!("line {line}"), error.message())
        })?;
        let seed = match table.get("seed") {
            Some(Value::Integer(seed)) => u64::try_from(*seed).map_err(|_| broken("seed", "negative"))?,
            Some(Value::String(seed)) => seed.parse().map_err(|_| broken("seed", "not an integer"))?,
            Some(_) => return Err(broken("seed", "not an integer")),
            None => return Err(broken("seed", "missing")),
        };
        let mut lock = Self { seed, ..Self::default() };
        let claims = match table.get("claims") {
            Some(Value::Table(claims)) => claims,
            Some(_) => return Err(broken("claims", "not a table")),
            None => return Ok(lock),
        };
        for (id, line) in claims {
            let fields = line.as_table().ok_or_else(|| broken(id, "not a table"))?;
            let mut entry = Entry::default();
            for (name, value) in fields {
                let verdict = |value: &Value| -> Result<Recorded, ClaimsError> {
                    let text = value.as_str().ok_or_else(|| broken(id, format!("{name}: not a string")))?;
                    text.parse().map_err(|error: ClaimsError| broken(id, error.to_string()))
                };
                match name.as_str() {
                    "explanation" => {
                        let text = value.as_str().ok_or_else(|| broken(id, "explanation: not a string"))?;
                        entry.explanation = text.to_owned();
                    }
                    "accepts" => {
                        let list = value.as_array().ok_or_else(|| broken(id, "accepts: not a list"))?;
                        entry.accepts = list.iter().map(verdict).collect::<Result<_, _>>()?;
                    }
                    tier => {
                        let tier: Tier =
                            tier.parse().map_err(|_| broken(id, format!("unknown field {tier:?}")))?;
                        entry.verdicts.insert(tier, verdict(value)?);
                    }
                }
            }
            lock.entries.insert(id.clone(), entry);
        }
        Ok(lock)
    }

    /// Reads a lock file; a file that does not exist is an empty lock.
    ///
    /// # Errors
    /// [`ClaimsError::File`]; [`ClaimsError::Lock`].
    pub fn read(path: &Path) -> Result<Self, ClaimsError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(ClaimsError::File { path: path.to_owned(), source }),
        }
    }

    /// Writes the lock file. The file is either complete or unchanged.
    ///
    /// # Errors
    /// [`ClaimsError::Output`].
    pub fn write(&self, path: &Path) -> Result<(), ClaimsError> {
        Ok(collimate_output::write(path, Existing::Replace, |out| out.write_all(self.to_text().as_bytes()))?)
    }
}
