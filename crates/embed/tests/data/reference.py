"""Writes reference.json: the vectors that sentence-transformers gives for a few texts.

    python -m venv v && v/bin/pip install sentence-transformers==6.2.0 torch==2.15.0
    v/bin/python reference.py FOLDER_OF_ALL_MINILM_L6_V2 > reference.json

The texts are of our own writing: short and long (beyond the model's window of 256 tokens), empty, of other scripts,
with odd white space and characters that the tokenizer drops.
"""

import json
import sys

import sentence_transformers
import torch

TEXTS = [
    "What is the capital of France?",
    "How do I reset my password?",
    "ok",
    "",
    "   Lots\tof \n white   space  ",
    "C++ and C# aren't the same; 3.14 < 22/7!",
    "Wie ändere ich meine Anschrift im Kundenkonto?",
    "日本の首都はどこですか",
    "ПРИВЕТ, мир 🦀 naïve café",
    "supercalifragilisticexpialidocious antidisestablishmentarianism " + "x" * 150,
    "The invoice of March was paid twice: once by card and once by bank transfer. I would like to have one of the two "
    "payments back, and to know why nobody answered the three messages that I wrote about it.",
    " ".join(f"Sentence number {n} says that the parcel {n * 7} did not arrive on day {n % 30}." for n in range(40)),
]

model = sentence_transformers.SentenceTransformer(sys.argv[1], device="cpu")
torch.set_num_threads(1)
vectors = model.encode(TEXTS, batch_size=1, normalize_embeddings=True, convert_to_numpy=True)
json.dump(
    {
        "made_with": f"sentence-transformers {sentence_transformers.__version__}, torch {torch.__version__}",
        "texts": TEXTS,
        "vectors": [[float(f"{value:.8f}") for value in vector] for vector in vectors],
    },
    sys.stdout,
    ensure_ascii=False,
)
