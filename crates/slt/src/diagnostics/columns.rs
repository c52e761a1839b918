//! The meaning of the columns of a trace, from their names.

/// The names of a column of chains, without case and punctuation. The earlier name is taken.
const CHAIN: [&str; 12] = [
    "chain",
    "chainid",
    "chainindex",
    "chainidx",
    "chainno",
    "chainnumber",
    "chains",
    "run",
    "runid",
    "replicate",
    "walker",
    "seed",
];
/// The names of a column of draws.
const DRAW: [&str; 7] = ["draw", "drawid", "iteration", "iter", "sample", "step", "globalstep"];
/// The endings of columns of Weights & Biases that are not the value itself.
const EXTRAS: [&str; 2] = ["__MIN", "__MAX"];

/// The columns of a table with a header.
#[derive(Debug, PartialEq)]
pub(super) enum Columns {
    /// One row for each draw of each chain: the positions of the loss, the chain and the draw.
    Long { loss: usize, chain: Option<usize>, draw: Option<usize> },
    /// One row for each draw of all chains: the positions of the chains with their names, and of the draw.
    Wide { chains: Vec<(usize, String)>, draw: Option<usize> },
}

/// Returns a name without case and punctuation.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Returns the words of a name.
fn words(name: &str) -> Vec<String> {
    name.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Returns true for a name that only counts: `3`, `V3`, `chain_3`, `loss[3]`.
fn counts(name: &str) -> bool {
    let plain = plain(name);
    let letters = plain.trim_end_matches(|c: char| c.is_ascii_digit());
    letters.len() < plain.len() && ["", "v", "x", "c", "chain", "run", "loss", "losses"].contains(&letters)
}

impl Columns {
    /// Finds the columns. The error says what was not understood.
    pub(super) fn of(header: &[String]) -> Result<Self, String> {
        let find = |names: &[&str]| {
            names.iter().find_map(|&name| header.iter().position(|cell| plain(cell) == name))
        };
        let (chain, draw) = (find(&CHAIN), find(&DRAW));
        if let Some(loss) = header.iter().position(|cell| plain(cell) == "loss") {
            if let (None, Some(other)) = (chain, header.iter().find(|cell| plain(cell).contains("chain"))) {
                return Err(format!(
                    "the column {other:?} is not understood; name the column of chains `chain`"
                ));
            }
            return Ok(Self::Long { loss, chain, draw });
        }
        let own = |i: &usize| !EXTRAS.iter().any(|extra| header[*i].ends_with(extra));
        let losses: Vec<usize> = (0..header.len()).filter(own).filter(|&i| is_loss(&header[i])).collect();
        match losses[..] {
            [loss] => return Ok(Self::Long { loss, chain, draw }),
            [] => {}
            _ if one_for_each_run(&losses, header) => return Ok(Self::wide(&losses, header, draw)),
            _ => {
                let names: Vec<String> = losses.iter().map(|&i| format!("{:?}", header[i])).collect();
                return Err(format!(
                    "several columns may be the loss: {}; name the right one `loss`",
                    names.join(", ")
                ));
            }
        }
        let counted: Vec<usize> =
            (0..header.len()).filter(|&i| counts(&header[i]) && Some(i) != draw).collect();
        // A first column without a name is the index of pandas and R.
        let others = (0..header.len()).filter(|i| !counted.contains(i) && Some(*i) != draw);
        if !counted.is_empty() && others.into_iter().all(|i| i == 0 && header[0].is_empty()) {
            return Ok(Self::wide(&counted, header, draw));
        }
        let hint = match header.iter().any(|cell| cell == "lp__") {
            true => {
                "; lp__ of Stan is a log density with the prior, so write the loss as a generated quantity"
            }
            false => "",
        };
        Err(format!("the header has no column `loss`, but {}{hint}", header.join(", ")))
    }

    fn wide(positions: &[usize], header: &[String], draw: Option<usize>) -> Self {
        Self::Wide { chains: positions.iter().map(|&i| (i, header[i].clone())).collect(), draw }
    }
}

/// Returns true for a name with the word loss, such as `train/loss`, `('posterior', 'loss')`, `loss.1` or `run-1 - loss`.
fn is_loss(name: &str) -> bool {
    counts(name) && plain(name).starts_with("loss")
        || words(name).iter().any(|word| word == "loss" || word == "losses")
}

/// Returns true if the names differ in a number or a run only: `loss.1` and `loss.2`, or `run a - loss` and `run b - loss`.
fn one_for_each_run(positions: &[usize], header: &[String]) -> bool {
    let numbered = |i: &usize| counts(&header[*i]) || words(&header[*i]).iter().any(|word| word == "chain");
    let logged = |i: &usize| header[*i].rsplit_once(" - ").map(|(_, key)| key);
    let first = logged(&positions[0]);
    positions.iter().all(numbered) || first.is_some() && positions.iter().all(|i| logged(i) == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(header: &str) -> Result<Columns, String> {
        Columns::of(&header.split('|').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_names_of_other_programs_are_understood() {
        let long = |loss, chain, draw| Ok(Columns::Long { loss, chain, draw });
        assert_eq!(of("chain|draw|loss"), long(2, Some(0), Some(1)));
        assert_eq!(of("|Chain_ID|iteration|Loss"), long(3, Some(1), Some(2)));
        assert_eq!(of(".chain|.iteration|.draw|loss"), long(3, Some(0), Some(2)));
        assert_eq!(of("chain|draw|('posterior', 'loss')"), long(2, Some(0), Some(1)));
        assert_eq!(of("_step|train/loss|run"), long(1, Some(2), Some(0)));
        assert_eq!(of("lp__|loss"), long(1, None, None));
        let wide = |positions: &[usize], header: &str, draw| {
            let names: Vec<&str> = header.split('|').collect();
            let chains = positions.iter().map(|&i| (i, names[i].to_owned())).collect();
            assert_eq!(of(header), Ok(Columns::Wide { chains, draw }), "{header}");
        };
        wide(&[1, 4], "Step|a - loss|a - loss__MIN|a - loss__MAX|b - loss", Some(0));
        wide(&[1, 2], "|0|1", None);
        wide(&[1, 2], "|V1|V2", None);
        wide(&[0, 1], "chain_0|chain_1", None);
        wide(&[0, 1], "loss[1]|loss[2]", None);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (header, said) in [
            ("chain length|loss", "\"chain length\" is not understood"),
            ("train_loss|val_loss", "several columns may be the loss: \"train_loss\", \"val_loss\""),
            ("lp__|accept_stat__", "log density"),
            ("chain|x", "no column `loss`, but chain, x"),
            ("0|1|accuracy", "no column `loss`"),
        ] {
            let error = of(header).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
