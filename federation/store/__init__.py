"""What a party keeps, in SQL. One contract suite (tests/contract/test_store_*.py) runs on SQLite and on PostgreSQL.

Times are milliseconds since the Unix epoch; a limit is inclusive: what ends at t is good at t. Every method is one
transaction: when it returns, the change is durable; when it raises, nothing has changed. What is confidential arrives
sealed: the store never sees a key or a plaintext record.

What `walk` and `all` give comes page by page, by key: in bounded memory, and beside writers. A row that is there from the
walk's beginning to its end comes exactly once, as it is when its page is read; one that comes or goes meanwhile may be
missed. What a walk replaces it compares first (`reseal`, `restate`, `rewrap`, `move` say whether the row was still as
given), so that it never undoes what a server did in between.
"""
