use collimate_stream::RngStream;
use ndarray::Array2;

/// The bigrams that may occur in a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allowed {
    Seen,
    All,
}

/// A source of sequences that ask for the token that followed a given token, with some bigrams held out.
///
/// ```text
/// a run of different tokens,   then questions:   … 7 3 9 1 …   9 → 1,  3 → 9, …
/// ```
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_studies::induction::Bigrams;
/// let mut stream = RngStream::new(1, 0);
/// let bigrams = Bigrams::draw(16, 12, 4, 0.25, &mut stream);
/// let unseen = bigrams.unseen(5, &mut stream);
/// assert_eq!(unseen.tokens.dim(), (5, 16));
/// let held_out = unseen.counted().all(|(row, question)| {
///     let asked = unseen.tokens[[row, 12 + question]];
///     bigrams.is_held_out(asked, unseen.answers[[row, question]])
/// });
/// assert!(held_out);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Bigrams {
    run: usize,
    questions: usize,
    held_out: Array2<bool>,
}

/// Sequences `[b, n]`, the answers to their last r tokens `[b, r]`, and the mask of the questions that count `[b, r]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Questions {
    /// The tokens `[b, n]`: the run, then the questions.
    pub tokens: Array2<usize>,
    /// The token that followed each questioned token in the run, `[b, r]`.
    pub answers: Array2<usize>,
    /// True for each question that counts, `[b, r]`.
    pub counts: Array2<bool>,
}

impl Questions {
    /// Iterates over the questions that count, as row and index.
    pub fn counted(&self) -> impl Iterator<Item = (usize, usize)> {
        self.counts.indexed_iter().filter(|(_, counts)| **counts).map(|(at, _)| at)
    }
}

impl Bigrams {
    /// Draws the held-out bigrams: each bigram of the vocabulary is held out with probability `share`, independently.
    ///
    /// # Panics
    /// Panics when the run is longer than the vocabulary, or there are not more tokens in the run than questions.
    pub fn draw(vocabulary: usize, run: usize, questions: usize, share: f64, stream: &mut RngStream) -> Self {
        assert!(
            run <= vocabulary && questions < run,
            "a run of different tokens, each questioned at most once"
        );
        let held_out = Array2::from_shape_simple_fn((vocabulary, vocabulary), || stream.bernoulli(share));
        Self { run, questions, held_out }
    }

    /// Returns true if `second` never follows `first` in training.
    pub fn is_held_out(&self, first: usize, second: usize) -> bool {
        self.held_out[[first, second]]
    }

    /// Draws sequences for training, in which no two neighbours are a held-out bigram. Every question counts.
    pub fn seen(&self, sequences: usize, stream: &mut RngStream) -> Questions {
        self.questions(sequences, Allowed::Seen, stream)
    }

    /// Draws sequences of any bigrams, in which a question counts when it and its answer are a held-out bigram.
    pub fn unseen(&self, sequences: usize, stream: &mut RngStream) -> Questions {
        self.questions(sequences, Allowed::All, stream)
    }

    fn questions(&self, sequences: usize, allowed: Allowed, stream: &mut RngStream) -> Questions {
        let mut tokens = Array2::zeros((sequences, self.run + self.questions));
        let mut answers = Array2::zeros((sequences, self.questions));
        for row in 0..sequences {
            // A run may reach a token after which all remaining tokens are held out; then another run is drawn.
            let (sequence, answer) = std::iter::repeat_with(|| self.sequence(allowed, stream))
                .flatten()
                .next()
                .expect("the iterator has no end");
            tokens.row_mut(row).iter_mut().zip(sequence).for_each(|(to, token)| *to = token);
            answers.row_mut(row).iter_mut().zip(answer).for_each(|(to, token)| *to = token);
        }
        let counts = Array2::from_shape_fn(answers.dim(), |(row, i)| {
            allowed == Allowed::Seen || self.is_held_out(tokens[[row, self.run + i]], answers[[row, i]])
        });
        Questions { tokens, answers, counts }
    }

    fn sequence(&self, allowed: Allowed, stream: &mut RngStream) -> Option<(Vec<usize>, Vec<usize>)> {
        let mut tokens: Vec<usize> = Vec::with_capacity(self.run + self.questions);
        let may_follow = |tokens: &[usize], next: usize| match (allowed, tokens.last()) {
            (Allowed::Seen, Some(&last)) => !self.is_held_out(last, next),
            _ => true,
        };
        let mut left: Vec<usize> = (0..self.held_out.nrows()).collect();
        for _ in 0..self.run {
            let at = pick(&left, |&token| may_follow(&tokens, token), stream)?;
            tokens.push(left.swap_remove(at));
        }
        let mut answers = Vec::with_capacity(self.questions);
        let mut places: Vec<usize> = (0..self.run - 1).collect();
        for _ in 0..self.questions {
            let at = pick(&places, |&place| may_follow(&tokens, tokens[place]), stream)?;
            let place = places.swap_remove(at);
            tokens.push(tokens[place]);
            answers.push(tokens[place + 1]);
        }
        Some((tokens, answers))
    }
}

/// Draws the index of an item uniformly from the items that fit.
fn pick<T>(items: &[T], fits: impl Fn(&T) -> bool, stream: &mut RngStream) -> Option<usize> {
    let fitting: Vec<usize> = (0..items.len()).filter(|&i| fits(&items[i])).collect();
    (!fitting.is_empty()).then(|| fitting[stream.below(fitting.len())])
}
