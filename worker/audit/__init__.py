"""The audit behind `clf verify`: does every document have exactly one outcome, in order, and the right one?

Pure but for its two ports, `ports.AuditedCluster` and `contents.Bundles`. It streams: what it holds in memory does not
grow with the topics.
"""
