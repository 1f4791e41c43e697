"""Ten lines: a budgeted function that streams an answer from the embedded model."""

import tempfile

from inferkit import BudgetExceeded, Client, Price, budgeted

llm = Client(prices={"local:*": Price(input="0.05", output="0.20")}, home=tempfile.mkdtemp())


@budgeted(usd="0.0001", per="month", name="answers", key="user_id")
def answer(user_id: str, question: str) -> str:
    with llm.stream(question, cache="bypass") as reply:
        return "".join(chunk.text for chunk in reply)


try:
    while True:
        print(answer("ana", "My parcel 48213 arrived broken."))
except BudgetExceeded as refusal:
    print(f"{refusal.scope} has spent {refusal.spent} of {refusal.limit} dollars")
llm.close()
