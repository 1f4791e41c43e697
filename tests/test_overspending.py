"""What many callers of one budget are billed, at the client's door."""

from __future__ import annotations

import threading

from inferkit import Budget, BudgetExceeded, Chunk, Client, Price, Response, Usage

LIMIT = 250_000_000  # nano-dollars


class Billing:
    """A provider that bills what it sends, and sends all that it is allowed to."""

    def __init__(self):
        self.billed = []

    async def __call__(self, request):
        output = min(400, request.max_output_tokens)
        self.billed.append(20 * 1_000 + output * 10_000)
        end = Chunk(finish_reason="stop", usage=Usage(input_tokens=20, output_tokens=output))
        return Response(_Body([Chunk(text="x"), end]), runtime=request.runtime)


class _Body:
    def __init__(self, chunks):
        self._chunks = chunks

    async def __anext__(self):
        if not self._chunks:
            raise StopAsyncIteration
        return self._chunks.pop(0)


def test_64_threads_are_never_billed_more_than_their_budget_and_leave_little_of_it(tmp_path):
    provider = Billing()
    refusals = []
    llm = Client(
        providers={"billing": provider},
        models={"any": "billing:m"},
        prices={"billing:m": Price(input="1", output="10")},
        budget=Budget(usd="0.25", per="month", name="all"),
        home=tmp_path,
        cache=False,
    )

    def work(number):
        for _ in range(8):  # 512 calls, where 62 fit
            try:
                llm.complete("any", f"hello {number}", max_output_tokens=400)
            except BudgetExceeded as refusal:
                refusals.append(refusal)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    posted = sum(entry.charge.usd for entry in llm.ledger.entries())
    llm.close()
    assert len(provider.billed) + len(refusals) == 512
    assert posted == sum(provider.billed)
    assert LIMIT - 2 * 4_020_000 <= posted <= LIMIT
