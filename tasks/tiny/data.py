"""Made-up questions, from a seed: a word and a letter; the answer is the letter that follows it, `a` after `z`.

The words say nothing, but make the questions many: each pair of a word and a letter stands in one split only.
"""

import random

WORDS = (
    "apple stone river green seven bread cloud horse light water people number question letters system user road name"
)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SIZES = {"dev": 24, "test": 32, "shots": 2, "train": 400}


def rows(sources: dict[str, int]) -> dict[str, list[dict[str, str]]]:
    """The rows of each split."""
    pairs = [(word, letter) for word in WORDS.split() for letter in LETTERS]
    random.Random(f"tiny:{sources['pairs']}").shuffle(pairs)
    splits, begin = {}, 0
    for split, size in SIZES.items():
        splits[split] = [
            {
                "id": f"{split}-{word}-{letter}",
                "question": f"{word} {letter}",
                "answer": LETTERS[(LETTERS.index(letter) + 1) % len(LETTERS)],
            }
            for word, letter in pairs[begin : begin + size]
        ]
        begin += size
    return splits
