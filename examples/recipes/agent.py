"""An agent that looks orders up and sends refunds: a loop with tools, held to a budget for each run.

Run it:

    SHOP_MODEL=openai:gpt-5-mini OPENAI_API_KEY=... python examples/recipes/agent.py "Refund order A-20817, please."
"""

import sys
from typing import Annotated

from shop import SETTINGS

from inferkit import BudgetExceeded, Client, ToolRoundsExceeded, attributed, budget

ORDERS = {"A-20817": {"item": "a blue kettle", "paid": 39.0, "state": "arrived broken"}}
llm = Client(**SETTINGS)


def find_order(number: Annotated[str, "As it stands on the invoice"]) -> dict[str, object]:
    """Find an order by its number."""
    if number not in ORDERS:
        raise LookupError(f"there is no order {number}")  # the model is told, and may ask the customer
    return dict(ORDERS[number])


def refund(number: str, dollars: float) -> str:
    """Send the customer's money back. At most what was paid."""
    if dollars > float(str(find_order(number)["paid"])):
        raise ValueError("that is more than was paid")
    return f"{dollars} dollars are on their way"


def main(request: str) -> None:
    with attributed(user="ana", feature="agent"), budget(usd="0.05") as run_budget:  # one run, all its rounds
        try:
            run = llm.run_tools("answer", request, tools=[find_order, refund], max_rounds=6, max_output_tokens=300)
        except ToolRoundsExceeded as error:
            print("It went in circles, and is for a person now:", error.run.text if error.run else "")
            return
        except BudgetExceeded as refusal:
            print("It cost more than it may:", refusal.scope)
            return
    for number, each in enumerate(run.rounds, 1):
        for result in each.results:
            print(f"{number}. {result.content}")
    print(run.text)
    print(f"{len(run.rounds)} rounds, {run.cost} dollars, {run_budget.remaining(ledger=llm.ledger).usd} left")


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "My order A-20817 arrived broken. I want my money back.")
    llm.close()
