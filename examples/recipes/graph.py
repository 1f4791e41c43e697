"""A graph of LangGraph: a plain function sorts a message, and a chat model of LangChain's kind answers it.

Run it:

    pip install langgraph 'inferkit[langchain]'
    python examples/recipes/graph.py "My parcel arrived broken."
"""

import sys
from typing import TypedDict

from langgraph.graph import END, START, StateGraph
from shop import SETTINGS

from inferkit import Client, attributed, budget
from inferkit.integrations.langchain import ChatInferkit

llm = Client(**SETTINGS)
chat = ChatInferkit(model="answer", llm=llm, max_tokens=120)  # what a graph or an agent of LangChain's takes


class Ticket(TypedDict, total=False):
    message: str
    kind: str
    answer: str


def sort(state: Ticket) -> Ticket:
    kind = llm.complete("answer", f"Complaint or question?\n{state['message']}", max_output_tokens=60, feature="sort")
    return {"kind": "complaint" if "complaint" in kind.text.lower() else "question"}


def apologise(state: Ticket) -> Ticket:
    return {"answer": chat.invoke(f"Apologise for this:\n{state['message']}").text}


def explain(state: Ticket) -> Ticket:
    return {"answer": chat.invoke(state["message"]).text}


graph = StateGraph(Ticket)
graph.add_node("sort", sort)
graph.add_node("apologise", apologise)
graph.add_node("explain", explain)
graph.add_edge(START, "sort")
graph.add_conditional_edges("sort", lambda state: "apologise" if state["kind"] == "complaint" else "explain")
graph.add_edge("apologise", END)
graph.add_edge("explain", END)
desk = graph.compile()


if __name__ == "__main__":
    message = " ".join(sys.argv[1:]) or "My parcel arrived broken."
    with attributed(user="ana", feature="desk"), budget(usd="0.05") as run:  # LangGraph's threads are paid for, too
        ticket = desk.invoke({"message": message})
    print(f"{ticket['kind']}: {ticket['answer']}")
    print(run.usage(ledger=llm.ledger).calls, "calls,", run.usage(ledger=llm.ledger).usd, "dollars")
    llm.close()
