"""clf beside other systems that classify a Kafka topic, all under the same kills.

`make compare` runs it. Each system gets the same documents at the same rate on topics of the same layout, is killed
with SIGKILL at the same documents and started again half a second later, and what it published is judged by the rules
of `clf verify`. The others have environments of their own, from the requirements beside this file.
"""
