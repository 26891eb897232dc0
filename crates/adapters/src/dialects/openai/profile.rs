//! What differs between the providers that speak OpenAI's dialect: one row each.
//!
//! A provider that is not here works as [`OPENAI`]: the rows are for what a provider refuses, renames or says otherwise.

/// How a provider's chat completions differ from OpenAI's.
#[derive(Debug)]
pub(crate) struct Profile {
    /// Where chat completions are, after the base URL.
    pub(crate) chat: &'static str,
    /// The embeddings, where there are any.
    pub(crate) embeddings: Option<Embeddings>,
    /// Whether addresses are Azure's: deployments in the path, a version in the query.
    pub(crate) azure: bool,

    /// Which members of [`OPENAI_ONLY`] it takes; the others are not sent.
    pub(crate) takes: &'static [&'static str],
    /// Which common parameters it refuses or has no use for; they are not sent.
    pub(crate) lacks: &'static [&'static str],
    /// Under which name the longest answer is asked for.
    pub(crate) max_tokens: MaxTokens,
    /// The name of `seed`.
    pub(crate) seed: &'static str,
    /// How hard a model can be told to think, in rising order; empty when every word is taken.
    pub(crate) efforts: &'static [&'static str],
    /// Whether it takes `stream_options`. Where it does not, the usage comes unasked.
    pub(crate) stream_options: bool,
    /// Whether `stop` must be a list.
    pub(crate) stop_list: bool,
    /// The word for "call at least one tool".
    pub(crate) any_tool: &'static str,
    /// Whether an answer can be made to follow a schema.
    pub(crate) json_schema: bool,
    /// Whether `logprobs` is the number of alternatives and not a yes or no.
    pub(crate) counted_logprobs: bool,

    /// What messages may hold.
    pub(crate) messages: Messages,
    /// What the figures of `usage` mean.
    pub(crate) usage: Usage,
    /// Whether a call of a tool makes the finish reason `tool_calls`, whatever the provider calls it.
    pub(crate) calls_decide: bool,
    /// Whether `citations` at the top of an answer are the addresses of its sources.
    pub(crate) citations: bool,
}

/// What the messages of a request may hold.
#[derive(Debug)]
pub(crate) struct Messages {
    /// Whether the role `developer` is known; else it is `system`.
    pub(crate) developer: bool,
    /// Where the reasoning of earlier answers goes.
    pub(crate) reasoning: Reasoning,
    /// Which members of [`ANSWER_MEMBERS`] it takes back; the others are not sent.
    pub(crate) keeps: &'static [&'static str],
    /// Whether the result of a tool may name the tool.
    pub(crate) tool_name: bool,
    /// Whether other messages may name their speaker.
    pub(crate) speaker_name: bool,
    /// Whether an assistant that only calls tools must say something: an empty text.
    pub(crate) content_required: bool,
    /// Whether images must be in the request itself.
    pub(crate) embedded_images: bool,
    /// Whether users may send recordings and documents.
    pub(crate) files: bool,
    /// Whether only users may send a list of parts: everyone else's texts are joined.
    pub(crate) plain_texts: bool,
    /// Whether the calls of an assistant are numbered.
    pub(crate) numbered_calls: bool,
    /// Whether ids of tool calls, recordings and documents are written as Mistral does.
    pub(crate) mistral: bool,
}

/// How a provider's embeddings differ from OpenAI's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Embeddings {
    /// Where they are, after the base URL.
    pub(crate) path: &'static str,
    /// The name of `dimensions`; empty when the length cannot be chosen.
    pub(crate) dimensions: &'static str,
    /// Whether it takes `encoding_format`.
    pub(crate) encoding_format: bool,
    /// Whether it takes `user`.
    pub(crate) user: bool,
    /// Whether it takes tokens instead of texts.
    pub(crate) tokens: bool,
    /// Whether a vector in base64 is one signed byte per figure.
    pub(crate) signed_bytes: bool,
}

/// Under which name the longest answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MaxTokens {
    /// As the caller wrote it, but `max_completion_tokens` for models that reason: they refuse the older name.
    ByModel,
    /// As the caller wrote it; the newer name wins.
    Either,
    /// `max_tokens`.
    Older,
}

/// Where the reasoning of earlier answers goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reasoning {
    /// Nowhere: there is no field for it.
    Dropped,
    /// `reasoning_content`
    Content,
    /// `reasoning`
    Plain,
    /// Both: newer versions of the server read the one, older ones the other.
    Both,
    /// A part of the content: `{"type": "thinking", "thinking": […]}`
    Part,
}

/// What the figures of `usage` mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    /// `completion_tokens` is all output.
    Whole,
    /// `completion_tokens` leaves out the reasoning, which is counted beside it.
    ReasoningApart,
    /// `completion_tokens` leaves out the reasoning, which only the total counts.
    ReasoningInTotal,
}

/// Parameters that are OpenAI's own: others refuse them or have no use for them, so they are sent only where
/// [`Profile::takes`] names them. Parameters that are in no list here pass as they are.
pub(crate) const OPENAI_ONLY: &[&str] = &[
    "audio",
    "include_obfuscation",
    "logit_bias",
    "metadata",
    "modalities",
    "moderation",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "verbosity",
    "web_search_options",
];

/// Members of an answer's message, and cache breakpoints, that a caller may send back and most providers refuse. They
/// are sent only where [`Messages::keeps`] names them.
pub(crate) const ANSWER_MEMBERS: &[&str] = &[
    "annotations",
    "cache_control",
    "extra_content",
    "output_items",
    "provider_specific_fields",
    "reasoning",
    "reasoning_details",
    "refusal",
    "thought_signature",
];

impl Profile {
    /// Whether a parameter is not sent.
    pub(crate) fn drops(&self, parameter: &str) -> bool {
        self.lacks.contains(&parameter)
            || (OPENAI_ONLY.contains(&parameter) && !self.takes.contains(&parameter))
    }
}

impl Messages {
    /// Whether a member of a message, a part or a tool is sent.
    pub(crate) fn keeps(&self, member: &str) -> bool {
        !ANSWER_MEMBERS.contains(&member) || self.keeps.contains(&member)
    }
}

const MESSAGES: Messages = Messages {
    developer: false,
    reasoning: Reasoning::Dropped,
    keeps: &[],
    tool_name: false,
    speaker_name: true,
    content_required: false,
    embedded_images: false,
    files: true,
    plain_texts: false,
    numbered_calls: false,
    mistral: false,
};

const EMBEDDINGS: Embeddings = Embeddings {
    path: "/embeddings",
    dimensions: "dimensions",
    encoding_format: true,
    user: true,
    tokens: true,
    signed_bytes: false,
};

/// A server that speaks the dialect as far as all do.
const COMPATIBLE: Profile = Profile {
    chat: "/chat/completions",
    embeddings: None,
    azure: false,
    takes: &[],
    lacks: &[],
    max_tokens: MaxTokens::Older,
    seed: "seed",
    efforts: &[],
    stream_options: true,
    stop_list: false,
    any_tool: "required",
    json_schema: true,
    counted_logprobs: false,
    messages: MESSAGES,
    usage: Usage::Whole,
    calls_decide: false,
    citations: false,
};

const OPENAI_ITSELF: Profile = Profile {
    embeddings: Some(EMBEDDINGS),
    takes: OPENAI_ONLY,
    max_tokens: MaxTokens::ByModel,
    messages: Messages { developer: true, keeps: &["refusal"], ..MESSAGES },
    ..COMPATIBLE
};

/// OpenAI, and any server that is configured as one.
pub(crate) static OPENAI: Profile = OPENAI_ITSELF;

/// Azure OpenAI, all three of its surfaces.
pub(crate) static AZURE: Profile = Profile { azure: true, ..OPENAI_ITSELF };

/// Mistral refuses every member that it does not document.
pub(crate) static MISTRAL: Profile = Profile {
    embeddings: Some(Embeddings { dimensions: "output_dimension", user: false, tokens: false, ..EMBEDDINGS }),
    takes: &["metadata", "prediction", "prompt_cache_key"],
    lacks: &["logprobs", "top_logprobs", "user"],
    seed: "random_seed",
    efforts: &["none", "high"],
    stream_options: false,
    any_tool: "any",
    messages: Messages {
        reasoning: Reasoning::Part,
        tool_name: true,
        speaker_name: false,
        mistral: true,
        ..MESSAGES
    },
    ..COMPATIBLE
};

/// Groq sends the usage of a stream unasked, under `x_groq`.
pub(crate) static GROQ: Profile = Profile {
    embeddings: Some(Embeddings { dimensions: "", tokens: false, ..EMBEDDINGS }),
    takes: &["logit_bias", "metadata", "service_tier", "store"],
    lacks: &["n"],
    max_tokens: MaxTokens::Either,
    efforts: &["none", "low", "medium", "high"],
    stream_options: false,
    messages: Messages { reasoning: Reasoning::Plain, files: false, ..MESSAGES },
    ..COMPATIBLE
};

/// DeepSeek wants the reasoning of a tool's turn back, and has JSON mode but no schemas.
pub(crate) static DEEPSEEK: Profile = Profile {
    lacks: &["n", "parallel_tool_calls", "seed", "user"],
    json_schema: false,
    messages: Messages { reasoning: Reasoning::Content, content_required: true, ..MESSAGES },
    ..COMPATIBLE
};

/// xAI
pub(crate) static XAI: Profile = Profile {
    embeddings: Some(Embeddings { dimensions: "", tokens: false, ..EMBEDDINGS }),
    takes: &["logit_bias", "web_search_options"],
    max_tokens: MaxTokens::Either,
    messages: Messages { reasoning: Reasoning::Content, ..MESSAGES },
    usage: Usage::ReasoningApart,
    ..COMPATIBLE
};

/// OpenRouter hands on what it is given, cache breakpoints and signed reasoning included.
pub(crate) static OPENROUTER: Profile = Profile {
    embeddings: Some(EMBEDDINGS),
    takes: OPENAI_ONLY,
    max_tokens: MaxTokens::Either,
    messages: Messages {
        developer: true,
        reasoning: Reasoning::Plain,
        keeps: &["annotations", "cache_control", "reasoning_details", "refusal"],
        ..MESSAGES
    },
    ..COMPATIBLE
};

/// Together sends the usage of a stream unasked.
pub(crate) static TOGETHER: Profile = Profile {
    embeddings: Some(Embeddings {
        dimensions: "",
        encoding_format: false,
        user: false,
        tokens: false,
        ..EMBEDDINGS
    }),
    takes: &["logit_bias"],
    lacks: &["parallel_tool_calls", "user"],
    efforts: &["low", "medium", "high"],
    stream_options: false,
    stop_list: true,
    counted_logprobs: true,
    messages: Messages { tool_name: true, files: false, plain_texts: true, numbered_calls: true, ..MESSAGES },
    ..COMPATIBLE
};

/// Perplexity
pub(crate) static PERPLEXITY: Profile = Profile {
    embeddings: Some(Embeddings {
        path: "/v1/embeddings",
        encoding_format: false,
        user: false,
        tokens: false,
        signed_bytes: true,
        ..EMBEDDINGS
    }),
    takes: &["web_search_options"],
    lacks: &["logprobs", "n", "parallel_tool_calls", "seed", "top_logprobs", "user"],
    efforts: &["minimal", "low", "medium", "high"],
    messages: Messages { content_required: true, ..MESSAGES },
    citations: true,
    ..COMPATIBLE
};

/// Cerebras refuses penalties.
pub(crate) static CEREBRAS: Profile = Profile {
    lacks: &["frequency_penalty", "n", "presence_penalty"],
    max_tokens: MaxTokens::Either,
    efforts: &["none", "low", "medium", "high"],
    ..COMPATIBLE
};

/// Hugging Face's router, and the servers behind it.
pub(crate) static HUGGINGFACE: Profile = Profile { takes: &["logit_bias"], ..COMPATIBLE };

/// Z.ai
pub(crate) static ZAI: Profile = Profile {
    lacks: &[
        "frequency_penalty",
        "logprobs",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "seed",
        "strict",
        "user",
    ],
    stop_list: true,
    messages: Messages {
        reasoning: Reasoning::Content,
        speaker_name: false,
        content_required: true,
        ..MESSAGES
    },
    ..COMPATIBLE
};

/// vLLM, and servers built on it.
pub(crate) static VLLM: Profile = Profile {
    embeddings: Some(EMBEDDINGS),
    takes: &["logit_bias", "metadata", "service_tier"],
    max_tokens: MaxTokens::Either,
    messages: Messages { reasoning: Reasoning::Both, ..MESSAGES },
    ..COMPATIBLE
};

/// Ollama's `/v1`.
pub(crate) static OLLAMA_V1: Profile = Profile {
    chat: "/v1/chat/completions",
    embeddings: Some(Embeddings { path: "/v1/embeddings", user: false, tokens: false, ..EMBEDDINGS }),
    lacks: &["logprobs", "n", "parallel_tool_calls", "top_logprobs", "user"],
    messages: Messages { reasoning: Reasoning::Both, embedded_images: true, ..MESSAGES },
    calls_decide: true,
    ..COMPATIBLE
};

/// Gemini's `/openai`.
pub(crate) static GEMINI_OPENAI: Profile = Profile {
    chat: "/openai/chat/completions",
    embeddings: Some(Embeddings { path: "/openai/embeddings", user: false, tokens: false, ..EMBEDDINGS }),
    lacks: &["logprobs", "parallel_tool_calls", "top_logprobs", "user"],
    max_tokens: MaxTokens::Either,
    efforts: &["none", "minimal", "low", "medium", "high"],
    messages: Messages { keeps: &["extra_content"], ..MESSAGES },
    usage: Usage::ReasoningInTotal,
    calls_decide: true,
    ..COMPATIBLE
};
