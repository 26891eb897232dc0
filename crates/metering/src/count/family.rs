//! Families of models that count alike, and what each adds to the text: roles, tools, schemas.
//!
//! A provider writes the conversation, the tools and the schema into one long text before it counts. What that adds was
//! fitted to recorded exchanges with each family, in whole tokens.

use super::media::Images;
use super::{share, text};

/// How a family counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Family {
    /// Latin text, source code and JSON, against `o200k_base`, in thousandths.
    density: u64,
    /// Other scripts, in the same way.
    scripts: u64,
    /// Once a request.
    pub(super) request: u64,
    /// Once a message.
    pub(super) message: u64,
    /// Once, when reasoning is asked for.
    pub(super) thinking: u64,
    /// Once, when there are tools: the instructions how to call them.
    pub(super) tools: u64,
    /// Once a tool.
    pub(super) tool: u64,
    /// A tool's name, description and schema, against the tokens of their JSON, in thousandths.
    pub(super) tool_json: u64,
    /// Once a call that the assistant made, and its result.
    pub(super) call: u64,
    /// Once, when the answer must follow a schema.
    pub(super) schema: u64,
    /// The schema, against the tokens of its JSON, in thousandths.
    pub(super) schema_json: u64,
    pub(super) images: Images,
    /// A second of a recording.
    pub(super) second: u64,
}

impl Family {
    /// The family of a model, by its name; one that is not known counts as most do.
    pub(super) fn of(model: &str) -> &'static Self {
        // No name is longer; one that a caller made up is not searched to its end.
        const LONGEST: usize = 200;
        let model = model.get(..LONGEST).unwrap_or(model);
        let model = model.rsplit_once('/').map_or(model, |(_, name)| name);
        let fits = |words: &[&str]| words.iter().all(|word| contains(model, word));
        let found = FAMILIES.iter().find(|(names, _)| names.iter().any(|words| fits(words)));
        found.map_or(&OTHER, |(_, family)| family)
    }

    /// The tokens of a text, in thousandths.
    pub(super) fn text(&self, text: &str) -> u64 {
        let weighed = text::weigh(text);
        share(weighed.latin, self.density).saturating_add(share(weighed.other, self.scripts))
    }
}

/// A vocabulary of OpenAI's.
#[cfg(feature = "exact")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    O200k,
    Cl100k,
}

#[cfg(feature = "exact")]
impl Encoding {
    /// The vocabulary of a model, by its name; `None` when it is not OpenAI's.
    pub(super) fn of(model: &str) -> Option<Self> {
        let name = model.rsplit_once('/').map_or(model, |(_, name)| name);
        let name = name.strip_prefix("ft:").unwrap_or(name);
        let name = name.strip_prefix("openai.").unwrap_or(name);
        let begins = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
        if begins(&[
            "gpt-4o",
            "gpt-4.1",
            "gpt-4.5",
            "gpt-5",
            "gpt-6",
            "gpt-oss",
            "chatgpt-4o",
            "o1",
            "o3",
            "o4-",
        ]) {
            Some(Self::O200k)
        } else if begins(&["gpt-4", "gpt-3.5", "gpt-35", "text-embedding-3-", "text-embedding-ada"]) {
            Some(Self::Cl100k)
        } else {
            None
        }
    }
}

/// Whether `word` is in `name`, or begins it if it is written `^word`, whatever the case. Words are in small letters.
fn contains(name: &str, word: &str) -> bool {
    let name = name.as_bytes();
    if let Some(start) = word.strip_prefix('^') {
        return name.get(..start.len()).is_some_and(|part| part.eq_ignore_ascii_case(start.as_bytes()));
    }
    name.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

const OTHER: Family = Family {
    density: 1_080,
    scripts: 1_300,
    request: 4,
    message: 4,
    thinking: 0,
    tools: 100,
    tool: 8,
    tool_json: 1_100,
    call: 12,
    schema: 20,
    schema_json: 1_000,
    images: Images::Area,
    second: 32,
};

const GPT: Family = Family {
    density: 1_000,
    scripts: 1_000,
    request: 3,
    message: 4,
    thinking: 0,
    tools: 0,
    tool: 1,
    tool_json: 910,
    call: 11,
    schema: 0,
    schema_json: 850,
    images: Images::Tiles { base: 85, tile: 170 },
    second: 10,
};

/// Those that reason.
const GPT_REASONING: Family = Family { request: 2, images: Images::Tiles { base: 70, tile: 140 }, ..GPT };

const GPT_OSS: Family = Family {
    request: 62,
    tools: 15,
    tool: 3,
    tool_json: 900,
    call: 14,
    schema: 60,
    schema_json: 1_200,
    ..GPT
};

const CLAUDE: Family = Family {
    density: 1_100,
    scripts: 1_350,
    request: 4,
    message: 4,
    thinking: 28,
    tools: 490,
    tool: 20,
    tool_json: 1_150,
    call: 30,
    schema: 120,
    schema_json: 1_150,
    images: Images::Area,
    second: 32,
};

const GEMINI: Family = Family {
    density: 1_000,
    scripts: 1_100,
    request: 0,
    message: 0,
    thinking: 0,
    tools: 4,
    tool: 6,
    tool_json: 1_000,
    call: 10,
    schema: 0,
    schema_json: 0,
    images: Images::Gemini,
    second: 32,
};

const LLAMA: Family = Family {
    density: 1_020,
    scripts: 1_300,
    request: 5,
    message: 5,
    thinking: 0,
    tools: 90,
    tool: 8,
    tool_json: 1_050,
    call: 14,
    schema: 0,
    schema_json: 1_000,
    images: Images::Area,
    second: 32,
};

const MISTRAL: Family = Family {
    density: 1_020,
    scripts: 1_300,
    request: 3,
    message: 1,
    thinking: 0,
    tools: 10,
    tool: 6,
    tool_json: 1_350,
    call: 30,
    schema: 0,
    schema_json: 0,
    images: Images::Squares { side: 28, longest: 1_540 },
    second: 32,
};

const DEEPSEEK: Family = Family {
    density: 1_000,
    scripts: 1_000,
    request: 2,
    message: 2,
    thinking: 0,
    tools: 230,
    tool: 8,
    tool_json: 1_050,
    call: 40,
    schema: 0,
    schema_json: 0,
    ..OTHER
};

const GROK: Family = Family {
    density: 1_000,
    request: 2,
    message: 2,
    tools: 130,
    tool: 6,
    tool_json: 1_050,
    call: 30,
    images: Images::Flat(256),
    ..OTHER
};

const QWEN: Family = Family {
    density: 1_030,
    scripts: 1_050,
    request: 4,
    message: 4,
    tools: 215,
    tool: 6,
    tool_json: 1_050,
    call: 20,
    schema: 0,
    schema_json: 0,
    images: Images::Squares { side: 28, longest: 1_540 },
    ..OTHER
};

const NOVA: Family =
    Family { density: 1_020, request: 4, tools: 330, tool_json: 1_100, images: Images::Flat(1_800), ..OTHER };

/// Cohere writes whole pages of instructions before a conversation with tools.
const COHERE: Family = Family {
    density: 1_050,
    request: 60,
    tools: 1_340,
    tool: 10,
    tool_json: 1_200,
    call: 45,
    schema: 490,
    ..OTHER
};

/// The first that fits counts. Each name is a list of words that must all be there.
const FAMILIES: &[(&[&[&str]], Family)] = &[
    (&[&["gpt-oss"]], GPT_OSS),
    (&[&["gpt-4o-mini"]], Family { images: Images::Tiles { base: 2_833, tile: 5_667 }, ..GPT }),
    (&[&["gpt-5", "nano"]], Family { images: Images::Patches { permille: 2_460 }, ..GPT_REASONING }),
    (&[&["gpt-5", "mini"]], Family { images: Images::Patches { permille: 1_620 }, ..GPT_REASONING }),
    (&[&["o4-mini"]], Family { images: Images::Patches { permille: 1_720 }, ..GPT_REASONING }),
    (&[&["gpt-4.1-mini"]], Family { images: Images::Patches { permille: 1_620 }, ..GPT }),
    (&[&["gpt-4.1-nano"]], Family { images: Images::Patches { permille: 2_460 }, ..GPT }),
    (&[&["gpt-5"], &["gpt-6"]], GPT_REASONING),
    (
        &[&["^o1"], &["^o3"], &["^o4"]],
        Family { images: Images::Tiles { base: 75, tile: 150 }, ..GPT_REASONING },
    ),
    (&[&["gpt-4o"], &["gpt-4.1"], &["chatgpt"]], GPT),
    // An older vocabulary, which knows little of other scripts.
    (
        &[&["gpt-4"], &["gpt-3"], &["text-embedding-3"], &["text-embedding-ada"]],
        Family { scripts: 1_800, ..GPT },
    ),
    // The newest count the same text in a finer way.
    (
        &[
            &["claude", "opus-5"],
            &["claude", "sonnet-5"],
            &["claude", "haiku-5"],
            &["claude", "fable"],
            &["claude", "mythos"],
            &["claude", "opus-4-7"],
            &["claude", "opus-4-8"],
        ],
        Family { density: 1_400, scripts: 1_500, thinking: 0, ..CLAUDE },
    ),
    (&[&["claude-3-opus"]], Family { tools: 510, ..CLAUDE }),
    (&[&["claude-3-sonnet"]], Family { tools: 150, ..CLAUDE }),
    (&[&["claude-3"], &["claude-2"]], Family { tools: 275, ..CLAUDE }),
    (
        &[
            &["claude-sonnet-4-0"],
            &["claude-opus-4-0"],
            &["claude-opus-4-1"],
            &["claude-sonnet-4-2025"],
            &["claude-opus-4-2025"],
        ],
        Family { tools: 305, ..CLAUDE },
    ),
    (&[&["claude"]], CLAUDE),
    // An older template, which leaves most of a schema out.
    (&[&["gemini-2.0"], &["gemini-1"]], Family { tool_json: 450, tools: 0, tool: 0, ..GEMINI }),
    (&[&["gemini"], &["learnlm"]], GEMINI),
    (&[&["gemma"]], Family { request: 4, message: 5, ..GEMINI }),
    (&[&["llama", "4-"]], Family { tools: 620, images: Images::Flat(740), ..LLAMA }),
    // Their template tells the date.
    (
        &[&["llama-3.1"], &["llama-3.2"], &["llama-3.3"], &["llama3.1"], &["llama3.2"], &["llama3.3"]],
        Family { request: 30, ..LLAMA },
    ),
    (&[&["llama"]], LLAMA),
    (
        &[
            &["mistral"],
            &["ministral"],
            &["magistral"],
            &["pixtral"],
            &["codestral"],
            &["devstral"],
            &["mixtral"],
        ],
        MISTRAL,
    ),
    // They think unless they are told not to, and are told how.
    (&[&["deepseek-v4-flash"]], Family { request: 80, tools: 205, ..DEEPSEEK }),
    (&[&["deepseek"]], DEEPSEEK),
    (&[&["grok-4.3"]], Family { request: 188, tools: 45, ..GROK }),
    (&[&["grok"]], GROK),
    (&[&["qwen"]], QWEN),
    (&[&["nova-2"]], Family { tools: 850, ..NOVA }),
    (&[&["nova"]], NOVA),
    (&[&["cohere.command"]], Family { request: 0, ..COHERE }),
    (&[&["command-a-plus"]], Family { request: 8, tools: 185, call: 70, ..COHERE }),
    (&[&["command-a-reasoning"]], Family { request: 1_380, ..COHERE }),
    (&[&["command-r-08"], &["command-r-plus-08"]], Family { request: 195, ..COHERE }),
    (&[&["command-r7b"], &["command-a"]], COHERE),
    (&[&["command"]], Family { tools: 770, ..COHERE }),
    (&[&["sonar"]], Family { density: 1_000, request: 0, message: 0, schema: 0, schema_json: 0, ..OTHER }),
    (&[&["glm"]], Family { density: 1_000, scripts: 1_000, request: 4, message: 2, tools: 150, ..OTHER }),
];
