"""Batch scoring: an event log and questions about it in, purchase probabilities as Parquet files out.

output.py      the directory that is written: complete, or not there
points.py      questions given in files, and which of them can't be asked
partition.py   rows sorted by user bucket on disk, so that memory does not grow with the log
reading.py     log and points -> partitions, counts by day, quarantine                 (Ray tasks)
context.py     what a question is about, looked up in its user's history
vectors.py     a range of user buckets -> questions with their feature vectors         (Ray tasks)
ensemble.py    vectors -> probabilities -> one Parquet file                            (Ray actors)
cluster.py     the Ray that all this runs on
"""
