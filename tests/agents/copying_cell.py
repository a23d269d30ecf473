"""Stands in the place of cell.py: how many of nine words the model copies, greedily. Same command line, less to do."""

import argparse
import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

parser = argparse.ArgumentParser()
for name in ("bench", "model", "out", "limit"):
    parser.add_argument(f"--{name}")
args = parser.parse_args()
tokenizer = AutoTokenizer.from_pretrained(args.model)
model = AutoModelForCausalLM.from_pretrained(args.model)
right = 0
words = ["apple", "stone", "river", "green", "seven", "bread", "cloud", "horse", "light"]
for word in words:
    asked = tokenizer(f"Question: copy {word}\nAnswer:", return_tensors="pt")
    with torch.no_grad():
        out = model.generate(**asked, max_new_tokens=4, do_sample=False)
    right += tokenizer.decode(out[0, asked["input_ids"].shape[1] :], skip_special_tokens=True) == f" {word}"
result = {"score": right / len(words), "n": len(words), "split": "dev", "metric": "exact", "few_shot": 0, "seconds": 1}
Path(args.out, "result.json").write_text(json.dumps(result))
