"""A process that spends from a ledger: `python ledger_worker.py PATH MODE ...`, told what to do on the command line.

spend   THREADS CALLS LIMIT DURABILITY   spend with several threads until done; prints what was spent, in nano-dollars
warned  CALLS LIMIT                      spend calls until done; prints the shares that it was told of, in thousandths
forever BILLED                           spend until killed; each cost is written to BILLED before it is settled
full    BYTES                            spend until the file cannot grow; prints the error
once                                     make one reservation; prints "granted", or the error
"""

from __future__ import annotations

import os
import random
import sys
import threading
import urllib.parse  # noqa: F401 - paths ask for it late, when there may be no right any more to read it

from inferkit.core.errors import LedgerError
from inferkit.ledger.amounts import Amounts, Grant, Line
from inferkit.ledger.journal import Charge
from inferkit.ledger.sqlite.ledger import SqliteLedger

ACCOUNT, WINDOW = "free:alice", "month:2026-11-01"


def spend(ledger: SqliteLedger, limit: int, call: str, price: int) -> int:
    line = Line(ACCOUNT, WINDOW, usd=limit)
    wanted, least = Amounts(price, price, 1), Amounts(price // 4, price // 4, 1)
    answer = ledger.reserve(call, [line], wanted, least, at=0.0, lease_seconds=60)
    if not isinstance(answer, Grant):
        return 0
    cost = random.randint(0, answer.amounts.usd)
    ledger.settle(call, Charge(cost, output_tokens=1), at=0.0)
    return cost


def spend_with_threads(path: str, threads: int, calls: int, limit: int, durability: str) -> None:
    ledger = SqliteLedger(path, durability)
    spent = [0] * threads

    def work(number: int) -> None:
        for turn in range(calls):
            spent[number] += spend(ledger, limit, f"{os.getpid()}-{number}-{turn}", 1000)

    running = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    print(sum(spent))


def spend_and_be_warned(path: str, calls: int, limit: int) -> None:
    ledger = SqliteLedger(path)
    line = Line(ACCOUNT, WINDOW, calls=limit, warn_at=(250, 500, 750))
    for turn in range(calls):
        call = f"{os.getpid()}-{turn}"
        ledger.reserve(call, [line], Amounts(calls=1), Amounts(calls=1), at=0.0, lease_seconds=60)
        ledger.settle(call, Charge(0), at=0.0)
        for crossing in ledger.warn([line]):
            print(crossing.share)


def spend_forever(path: str, billed: str) -> None:
    ledger = SqliteLedger(path)
    line = Line(ACCOUNT, WINDOW, usd=10**15)
    book = os.open(billed, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    turn = 0
    while True:
        turn += 1
        call = f"{os.getpid()}-{turn}"
        answer = ledger.reserve(call, [line], Amounts(1000, 0, 1), Amounts(1000, 0, 1), at=0.0, lease_seconds=60)
        assert isinstance(answer, Grant)
        cost = random.randint(1, 1000)
        os.write(book, f"{cost}\n".encode())
        ledger.settle(call, Charge(cost), at=0.0)


def fill(path: str, size: int) -> None:
    import resource
    import signal

    ledger = SqliteLedger(path)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    settled = 0
    try:
        for turn in range(100_000):
            settled += spend(ledger, 10**15, f"fill-{turn}", 1000)
    except LedgerError as error:
        print(settled)
        print(error)


def once(path: str) -> None:
    if os.getuid() == 0:  # root may write anywhere, so be nobody
        os.setuid(65534)
    try:
        spend(SqliteLedger(path), 10**9, f"once-{os.getpid()}", 1000)
    except LedgerError as error:
        print(error)
    else:
        print("granted")


if __name__ == "__main__":
    where, mode, *rest = sys.argv[1:]
    if mode == "spend":
        *counts, durability = rest
        spend_with_threads(where, *map(int, counts), durability)
    elif mode == "warned":
        spend_and_be_warned(where, *map(int, rest))
    elif mode == "forever":
        spend_forever(where, *rest)
    elif mode == "full":
        fill(where, *map(int, rest))
    else:
        once(where)
