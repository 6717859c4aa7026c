"""Ask the demo's server for a chat completion, with its key and without, and show the answers.

Usage: ask.py SETTINGS      (the file that demo_settings.py wrote)
Exit status 1 when the server does not answer as it should.
"""

from __future__ import annotations

import json
import pathlib
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from demo_settings import read

QUESTION = "Say hello."


def ask(url: str, key: str | None) -> tuple[int, str]:
    """Status and text of the answer to one chat completion request."""
    body = {"model": "demo", "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 24, "temperature": 0}
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    # No proxy: the server is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=120) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode(errors="replace")
    except OSError as exc:
        return 0, str(exc)


def main() -> int:
    values = read(pathlib.Path(sys.argv[1]))
    url = f"http://127.0.0.1:{values['demo_port']}/v1/chat/completions"

    begin = time.monotonic()
    status, text = ask(url, values["demo_api_key"])
    seconds = time.monotonic() - begin
    print(f"    POST {url}")
    print(f"    question: {QUESTION}")
    if status != 200:
        print(f"    no completion: {status or 'no answer'} {text}", file=sys.stderr)
        return 1
    answer = json.loads(text)
    usage = answer["usage"]
    print(f"    status:   200 after {seconds:.2f} s, from {answer.get('system_fingerprint') or answer['id']}")
    print(f"    tokens:   {usage['prompt_tokens']} in, {usage['completion_tokens']} out")
    print(f"    answer:   {json.dumps(answer['choices'][0]['message']['content'], ensure_ascii=False)}")
    print("              (random weights: the words mean nothing; the server and the tokens are real)")

    status, text = ask(url, None)
    print(f"    and without the key: {status} {text}")
    return 0 if status == 401 and usage["completion_tokens"] > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
