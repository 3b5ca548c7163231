"""The frames to index: all with four counted spots or more, then some of the others, drawn by lot; a number a line.

usage: choose.py TRUTH.jsonl OTHERS
"""

import json
import random
import sys

truth, others = sys.argv[1], int(sys.argv[2])
with open(truth) as lines:
    spots = [json.loads(line)["spots"] for line in lines]
with_crystal = [index for index, count in enumerate(spots) if count >= 4]
without = [index for index, count in enumerate(spots) if count < 4]
drawn = random.Random(0).sample(without, min(others, len(without)))
for index in with_crystal + sorted(drawn):
    print(index)
