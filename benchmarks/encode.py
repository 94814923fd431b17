"""
Encoding real texts of mixed length: our text encoder against sentence-transformers.

    python -m benchmarks.encode [--quick]

Peer: sentence-transformers on the same weights, texts, threads and limit of 512 tokens, at batch
sizes 16, 32, 64 and 128; after the first round only the best of them runs on. Floor: what the
matrix products alone would take at this machine's own float32 GEMM rate. Texts: distinct postings,
ESCO skills and ESCO occupations, a third each, 5,000 in all. `--quick` takes six runs of 32
neighbours in order of length out of the 5,000: the peer, which sorts by length, then pads as much
as in the full form (at batch sizes 16 and 32).
"""

import random
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from benchmarks.common import Claim, arguments, interleaved, median_ratio, report
from star_features.market.sources import read_esco, read_postings
from star_features.text.encoder import TextEncoder
from star_features.text.settings import EncoderSettings
from star_features.text.weights import locate

MODEL = "all-MiniLM-L6-v2"
BATCH_SIZES = (16, 32, 64, 128)
RUN = 32


def main() -> None:
    chosen = arguments(__doc__)
    texts = mixed_texts(5000, chosen.seed)
    if chosen.quick:
        texts = runs_of_neighbours(texts, 6)
    encoder = TextEncoder.load(EncoderSettings(model=MODEL))
    peer = SentenceTransformer(str(locate(MODEL)), device="cpu")
    peer.max_seq_length = encoder.max_tokens("member")
    encoder.encode(texts[:64], "member")
    peer.encode(texts[:64])

    contestants: dict[str, Callable[[], object]] = {
        "star-features": lambda: encoder.encode(texts, "member"),
        "GEMM": gemm,
    }
    for size in BATCH_SIZES:
        contestants[peer_name(size)] = lambda size=size: peer.encode(texts, batch_size=size)
    taken = interleaved(contestants, 1)
    best = min(map(peer_name, BATCH_SIZES), key=lambda name: taken[name][0])
    finalists = {name: contestants[name] for name in ("star-features", "GEMM", best)}
    for name, more in interleaved(finalists, 3 if chosen.quick else 2).items():
        taken[name] += more

    result = encoder.encode(texts, "member")
    cosine = least_cosine(result.vectors_ND, peer.encode(texts, normalize_embeddings=True))
    floors = [products(peer, texts) / (GEMM_FLOP / each) for each in taken["GEMM"]]
    rows = [
        (name, len(times), median(times), len(texts) / median(times), result.tokens / median(times))
        for name, times in (taken | {"GEMM floor": floors}).items()
        if name != "GEMM"
    ]
    report(
        f"{len(texts)} texts, {result.tokens} tokens, {torch.get_num_threads()} threads",
        ("who", "runs", "median s", "texts/s", "tokens/s"),
        rows,
        {
            "encode_speedup": Claim(
                median_ratio(taken[best], taken["star-features"]), "times the peer's best", 1.8
            ),
            "encode_least_cosine": Claim(cosine, "cosine to the peer", 0.999),
            "encode_share_of_gemm_ceiling": Claim(
                median_ratio(floors, taken["star-features"]), "of the float32 GEMM rate"
            ),
        },
        chosen.seed,
    )


def peer_name(size: int) -> str:
    return f"sentence-transformers, batch {size}"


def mixed_texts(count: int, seed: int) -> list[str]:
    """Distinct real texts: a third postings (short), a third skills, a third occupations (long)."""
    esco = read_esco()
    kinds = (
        [f"{p.title}. {p.company}, {p.department}. {p.location}" for p in read_postings()],
        [entry.text for entry in esco.skills],
        [entry.text for entry in esco.occupations],
    )
    draw = random.Random(seed)
    drawn = [draw.sample(sorted(set(kind)), -(-count // 3)) for kind in kinds]
    texts = list(dict.fromkeys(text for kind in drawn for text in kind))[:count]
    draw.shuffle(texts)
    return texts


def runs_of_neighbours(texts: list[str], runs: int) -> list[str]:
    """Evenly spaced runs of RUN texts out of the order by length."""
    by_length = sorted(texts, key=len)
    step = len(by_length) // runs
    starts = range((step - RUN) // 2, len(by_length) - RUN, step)
    return [text for start in starts for text in by_length[start : start + RUN]]


GEMM_ROWS, GEMM_INNER, GEMM_COLUMNS, GEMM_REPEATS = 2048, 1536, 1536, 30
GEMM_FLOP = 2.0 * GEMM_ROWS * GEMM_INNER * GEMM_COLUMNS * GEMM_REPEATS


def gemm() -> None:
    """The machine's own ceiling: one float32 product again and again, into the same memory."""
    left, right = torch.ones(GEMM_ROWS, GEMM_INNER), torch.ones(GEMM_INNER, GEMM_COLUMNS)
    out = torch.empty(GEMM_ROWS, GEMM_COLUMNS)
    for _ in range(GEMM_REPEATS):
        torch.mm(left, right, out=out)


def products(peer: SentenceTransformer, texts: list[str]) -> float:
    """Floating point operations of all matrix products, none of them on padding."""
    config = peer[0].auto_model.config
    width, inner = config.hidden_size, config.intermediate_size
    ids = peer.tokenizer(texts, truncation=True, max_length=peer.max_seq_length)["input_ids"]
    linear = sum(len(each) for each in ids) * 2 * (4 * width**2 + 2 * width * inner)
    attention = sum(4 * len(each) ** 2 * width for each in ids)
    return float(config.num_hidden_layers * (linear + attention))


def least_cosine(ours_ND: NDArray[np.float32], theirs_ND: NDArray[np.float32]) -> float:
    return float((ours_ND * theirs_ND).sum(axis=1).min())


if __name__ == "__main__":
    main()
