"""verl's own loading of a reward function, its naive manager and GRPO advantages, inside verl's environment.

python verl_function_run.py URL CASES_JSON SETTINGS_JSON   →   one line of JSON
"""

import asyncio
import json
import sys

from verl_run import configured, main, user_file


def function(url, settings):
    path = user_file(
        "from rewright.clients.adapters.verl import score_function\n"
        f"compute_score = score_function({url!r}, size={{'rewrites': 4}}, **{settings!r})\n"
    )
    return configured(
        reward_manager={"source": "register", "name": "naive"},
        custom_reward_function={"path": path, "name": "compute_score"},
    )


if __name__ == "__main__":
    asyncio.run(main(function, sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])))
