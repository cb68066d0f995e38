"""An executor: the process that holds loaded instances and executes batches.

Everything it imports of Shoal is pure Python for 3.10 and later, and needs nats-py, msgpack and numpy alone.
"""
