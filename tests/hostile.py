"""What a checkpoint may bring to be decoded in another way than its rivals."""

from typing import Any

GENERATION: dict[str, Any] = {
    "do_sample": True,
    "temperature": 9.0,
    "top_k": 1000,
    "min_length": 900,
    "min_new_tokens": 4,
    "max_new_tokens": 1,
    "max_length": 3,
    "repetition_penalty": 9.0,
    "no_repeat_ngram_size": 1,
    "forced_bos_token_id": 5,
    "forced_eos_token_id": 5,
    "suppress_tokens": list(range(3, 900)),
    "begin_suppress_tokens": list(range(3, 900)),
    "bad_words_ids": [[token] for token in range(3, 900)],
    "sequence_bias": [[[5], 9.0]],
    "eos_token_id": 900,
    "num_beams": 3,
    "guidance_scale": 3.0,
    "watermarking_config": {"bias": 9.0},
    "cache_implementation": "static",
    "stop_strings": [":"],
}
"""As generation_config.json."""
TEMPLATE = "{{ messages[0].content }} the answer is:"
