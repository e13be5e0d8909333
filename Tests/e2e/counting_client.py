#!/usr/bin/env python3
"""Asks services all the time, each over connections that are kept and over a new one for each request, and counts what fails.
   counting_client.py STOPFILE NAME...      prints a line for each way: NAME kept|new REQUESTS FAILED [first failure]
A kept connection that the server closes after it said so is no failure; one that ends without an answer is."""
import http.client, os, sys, threading, time

stop, names = sys.argv[1], sys.argv[2:]
results = []


def ask(connection):
    connection.request("GET", "/")
    response = connection.getresponse()
    response.read()
    if response.status != 200:
        raise OSError(f"status {response.status}")
    return response.will_close


def run(name, kept, result):
    connection = None
    while not os.path.exists(stop):
        result["requests"] += 1
        try:
            if connection is None:
                connection = http.client.HTTPConnection(name, 80, timeout=5)
            if ask(connection) or not kept:
                connection.close()
                connection = None
        except (OSError, http.client.HTTPException) as error:
            result["failed"] += 1
            result.setdefault("first", f"{time.strftime('%T')} {type(error).__name__}: {error}")
            connection = None


threads = []
for name in names:
    for kept in (True, False):
        result = {"way": f"{name} {'kept' if kept else 'new'}", "requests": 0, "failed": 0}
        results.append(result)
        threads.append(threading.Thread(target=run, args=(name, kept, result)))
for thread in threads:
    thread.start()
while not os.path.exists(stop):
    time.sleep(0.2)
    with open(stop + ".count", "w") as file:
        file.write(str(sum(result["requests"] for result in results)))
for thread in threads:
    thread.join()
for result in results:
    print(result["way"], result["requests"], result["failed"], result.get("first", ""))
