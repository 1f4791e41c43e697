"""The same desk on Flask: plain code, a view that streams, and budgets by customer.

Run it:

    python -m flask --app examples/recipes/flask_app.py run
    curl -N 'localhost:5000/stream?text=Where+is+it' -H 'x-customer: ana'
"""

from collections.abc import Iterator
from contextlib import closing

from flask import Flask, Response, jsonify, request
from shop import CUSTOMER, SETTINGS

from inferkit import BudgetExceeded, Client, identify
from inferkit.integrations import WsgiMiddleware

llm = Client(budget=CUSTOMER, **SETTINGS)  # one for all threads; a server that forks gets `preload=True`
app = Flask(__name__)
app.wsgi_app = WsgiMiddleware(app.wsgi_app, feature="support")  # type: ignore[method-assign]


@app.before_request
def known() -> None:
    identify(user=request.headers["x-customer"])  # yours reads the session


@app.get("/stream")
def stream() -> Response:
    reply = llm.stream("answer", request.args["text"], max_output_tokens=200)
    first = next(reply, None)  # a refusal is raised here, while the status can still say so

    def body() -> Iterator[str]:
        with closing(reply):
            if first is not None:
                yield first.text
            for chunk in reply:
                yield chunk.text

    return Response(body(), mimetype="text/plain")


@app.errorhandler(BudgetExceeded)
def over_budget(refusal: BudgetExceeded) -> tuple[Response, int]:
    again = refusal.resets_at.isoformat() if refusal.resets_at else None
    return jsonify(error="you have asked all that your plan allows", again=again), 402
