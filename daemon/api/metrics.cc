// GET /metrics: the text format of Prometheus.
#include <fmt/format.h>

#include "daemon/api/context.h"

namespace klog::api {
namespace {

class MetricsText {
public:
    void counter(std::string_view name, std::string_view help, std::uint64_t value) {
        add(name, help, "counter", fmt::format("{}", value));
    }
    void gauge(std::string_view name, std::string_view help, std::uint64_t value) {
        add(name, help, "gauge", fmt::format("{}", value));
    }
    void seconds_counter(std::string_view name, std::string_view help, std::uint64_t micros) {
        add(name, help, "counter", fmt::format("{}.{:06}", micros / 1'000'000, micros % 1'000'000));
    }
    void info(std::string_view version) {
        text_ += fmt::format(
            "# HELP klog_build_info Always 1; the version is in the label.\n"
            "# TYPE klog_build_info gauge\n"
            "klog_build_info{{version=\"{}\"}} 1\n",
            version);
    }
    [[nodiscard]] std::string take() { return std::move(text_); }

private:
    void add(std::string_view name, std::string_view help, std::string_view type,
             std::string_view value) {
        text_ +=
            fmt::format("# HELP {} {}\n# TYPE {} {}\n{} {}\n", name, help, name, type, name, value);
    }
    std::string text_;
};

void add_log(MetricsText& text, const LogStats& stats) {
    text.gauge("klog_log_head_seq", "Newest durable seq.", stats.head.value);
    text.counter("klog_log_records_written_total", "Records written since the start.",
                 stats.records_written);
    text.counter("klog_log_refused_total", "Records refused since the start.", stats.refused);
    text.counter("klog_log_duplicates_total", "Records known already by id or session line.",
                 stats.duplicates);
    text.counter("klog_log_groups_total", "Groups committed, each with one sync or a part of one.",
                 stats.groups);
    text.gauge("klog_log_queue_bytes", "Bytes that wait to be written.", stats.queue_bytes);
    text.gauge("klog_log_memtable_bytes", "Heads and ids that are in no run yet.",
               stats.memtable_bytes);
    text.gauge("klog_log_runs", "Runs of heads and ids.", stats.runs);
    text.gauge("klog_log_readers", "Open readers.", stats.readers);
    text.gauge("klog_log_consumers", "Named positions.", stats.consumers);
    text.counter("klog_log_positions_records_total",
                 "Records that such positions were moved with since the start.",
                 stats.positions_records);
    text.gauge("klog_log_key_index_seq", "The key index holds everything up to this seq.",
               stats.key_index_seq.value);
    text.gauge("klog_log_key_index_behind_records",
               "Records that are read again from the log before keys and topics are listed.",
               stats.key_index_behind_records);
    text.gauge("klog_log_key_index_pending_bytes",
               "Keys and topics in memory that the key index does not hold; at four times what a "
               "flush is due at writers wait.",
               stats.key_index_pending_bytes);
    text.gauge("klog_log_key_index_keys", "Keys that the key index holds.", stats.key_index_keys);
    text.gauge("klog_log_key_index_runs", "Runs that it keeps them in.", stats.key_index_runs);
    text.counter("klog_log_key_index_merges_total", "Merges of such runs since the start.",
                 stats.key_index_merges);
    text.counter("klog_log_key_index_merged_keys_total", "Keys that those moved.",
                 stats.key_index_merged_keys);
}

void add_store(MetricsText& text, const StoreStats& stats) {
    text.counter("klog_store_syncs_total", "Syncs of the write-ahead log.", stats.syncs);
    text.seconds_counter("klog_store_sync_seconds_total", "Time spent in them.",
                         stats.sync_micros_total);
    text.counter("klog_store_wal_bytes_written_total", "Bytes written to the write-ahead log.",
                 stats.wal_bytes_written);
    text.gauge("klog_store_wal_files", "Files of the write-ahead log.", stats.wal_files);
    text.gauge("klog_store_wal_bytes_on_disk", "Their size.", stats.wal_bytes_on_disk);
    text.gauge("klog_store_unsealed_bytes", "Of them, in closed files that are not sealed yet.",
               stats.unsealed_bytes);
    text.gauge("klog_store_segments", "Sealed segments.", stats.segments);
    text.gauge("klog_store_segment_bytes", "Their size.", stats.segment_bytes);
    text.gauge("klog_store_cache_bytes", "Unpacked blocks and pages of segments in memory.",
               stats.cache_bytes);
    text.counter("klog_store_cache_hits_total", "Blocks and pages found there.", stats.cache_hits);
    text.counter("klog_store_cache_misses_total", "Blocks and pages that were not there.",
                 stats.cache_misses);
    text.counter("klog_store_cache_unpacked_total",
                 "Blocks and pages that were unpacked for it, also ahead of a reader.",
                 stats.cache_puts);
    text.gauge("klog_store_read_only", "1 for a daemon that was started with --read-only.",
               stats.read_only ? 1 : 0);
    text.gauge("klog_store_holes", "Ranges of seqs that a read-only daemon cannot serve.",
               stats.holes);
    text.gauge("klog_store_rebuilding", "1 while heads and ids are made anew from the log.",
               stats.rebuild.running ? 1 : 0);
    text.gauge("klog_store_rebuild_records_done", "Records that were read for that.",
               stats.rebuild.records_done);
    text.gauge("klog_store_rebuild_records_wanted", "Records that have to be.",
               stats.rebuild.records_wanted);
    text.counter("klog_store_rebuilds_total", "Times that it was done since the start.",
                 stats.rebuild.finished);
    text.gauge("klog_store_writable", "0 while nothing is written: no room, or read-only.",
               stats.writable && !stats.failed ? 1 : 0);
    text.gauge("klog_store_failed", "1 after a sync failed: nothing is written any more.",
               stats.failed ? 1 : 0);
}

void add_server(MetricsText& text, const http::ServerStats& stats) {
    text.gauge("klog_http_connections_open", "Open connections.", stats.connections_open);
    text.gauge("klog_http_connections_max", "As many can be open; files may need some of it.",
               stats.connections_max);
    text.counter("klog_http_connections_total", "Connections accepted.", stats.connections_total);
    text.counter("klog_http_requests_total", "Requests begun.", stats.requests_total);
    text.counter("klog_http_responses_4xx_total", "Answers with a 4xx status.",
                 stats.responses_4xx);
    text.counter("klog_http_responses_5xx_total", "Answers with a 5xx status.",
                 stats.responses_5xx);
}

}  // namespace

void handle_metrics(const Context& context, const ExchangePtr& exchange) {
    MetricsText text;
    text.info(context.options.version);
    add_log(text, context.log.stats());
    add_store(text, context.store.stats());
    text.gauge("klog_http_bodies_bytes", "What the bodies of requests hold in memory.",
               context.bodies->held());
    if (context.options.server_stats) add_server(text, context.options.server_stats());
    http::Response response;
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    response.body = text.take();
    exchange->respond(std::move(response));
}

}  // namespace klog::api
