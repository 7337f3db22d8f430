"""The serving state in Redis: what is known of users, days, experiments and predictions between two requests.

Every write whose outcome is not known may be sent again without counting twice, and every kind of key is bounded. One
Redis primary of version 6.2 or later is assumed (a cluster would not do: an event touches keys of its user, its day and
its experiments at once); `maxmemory-policy noeviction` is right, since nothing here may vanish but by its own time.

    key                            type    holds                                bounded by
    cc:event:<event id>            string  that the event is stored             TTL 48 h
    cc:win:<user>                  zset    the user's events by time            200 newest, TTL 30 d from the last
    cc:bought:<user>               zset    the user's purchases by time         200 newest, TTL 7 d from the last
    cc:days                        zset    days that have counts                64 newest
    cc:day:<day>                   hash    counts of the day, `key|column`      500,000 fields, TTL 40 d from the last
    cc:past-days-revision          string  events of days that were over        one number
    cc:answer:<digest>             string  a cached answer                      TTL 300 s (a setting)
    cc:journal                     stream  the newest predictions               10,000 and at most 100 more
    cc:journal-writer:<process>    string  number of its last batch             TTL 1 d
    cc:metrics                     hash    the cluster's figures                caps of `deployments.metric_specs`
    cc:metrics-labels:<metric>     set     label sets that have been met        the metric's cap
    cc:metrics-process:<process>   string  number of its last flush             TTL 7 d
    cc:experiments                 hash    definitions by id                    1,000 experiments
    cc:experiments-stopped         hash    when they were stopped               1,000 experiments
    cc:experiment-sums:<id>        hash    sums of each phase and variant       7 fields for each of 10 variants
    cc:exposed:<user>              hash    what the user was shown, and bought  experiments, TTL 25 h from the last
    cc:exposed-users:<id>:<shard>  set     who was exposed, 8 bytes each        4,096 shards, TTL 90 d from the last
    cc:labels-position             string  how far the journal has been read    one entry's id
    cc:labels-due                  zset    predictions that wait for a label    2,000 for each quarter of an hour
    cc:labels-waiting              hash    what is known of them                as many
    cc:labels-settled              zset    predictions that were counted last   20,000
    cc:labels-quality              hash    right and wrong by bundle version    400 fields
"""
