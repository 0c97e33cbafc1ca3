#include "cli/bench/streams.h"

#include <algorithm>
#include <thread>

#include "daemon/http/client.h"
#include "segment/batch_decoder.h"

namespace klog::cli::bench {
namespace {

using http::Client;
using http::ClientRequest;

constexpr std::chrono::milliseconds kLimit{30'000};
constexpr std::size_t kReadBytes = 1U << 20U;
constexpr std::size_t kUnboundedLines = 1024;

Result<std::unique_ptr<Client>> open_stream(const std::string& url, const std::string& topic) {
    KLOG_TRY_ASSIGN(auto client, Client::connect(url, kLimit));
    ClientRequest request;
    request.method = "POST";
    request.target = "/v1/records?topic=" + topic;
    request.content_type = "application/x-ndjson";
    request.stream_body = true;
    KLOG_TRY(client->send(request));
    return client;
}

Status expect_head(Client& client) {
    KLOG_TRY_ASSIGN(const auto head, client.read_head(kLimit));
    if (head.status == 200) return {};
    return Error{Code::io, "the daemon answered " + std::to_string(head.status), ""};
}

// How many lines came. Errors: io at the end of the answer, and for a line that is no ack.
Result<std::size_t> read_lines(Client& client) {
    KLOG_TRY_ASSIGN(const std::string some, client.read_body(kReadBytes, kLimit));
    if (some.empty()) return Error{Code::io, "the answer ended too early", ""};
    const std::size_t refused = some.find("\"code\":");
    if (refused != std::string::npos) return Error{Code::io, "refused: " + some, ""};
    return static_cast<std::size_t>(std::count(some.begin(), some.end(), '\n'));
}

struct Replayed {
    std::uint64_t records = 0;
    std::uint64_t bytes = 0;  // of their values
};

Status take_frames(BatchDecoder& decoder, Replayed& replayed) {
    BatchFrame frame;
    for (;;) {
        KLOG_TRY_ASSIGN(const bool more, decoder.next(frame));
        if (!more) return {};
        const BatchHeader& header = frame.header;
        if (header.type == BatchType::error) {
            KLOG_TRY_ASSIGN(const BatchProblem problem, decode_batch_problem(frame.payload));
            return Error{Code::io, "the daemon broke off: " + problem.message, ""};
        }
        if (header.type != BatchType::records) continue;
        RecordDecoder records(frame.payload, header.first_seq, header.base_time, header.count);
        RecordView record;
        for (;;) {
            KLOG_TRY_ASSIGN(const bool another, records.next(record));
            if (!another) break;
            ++replayed.records;
            replayed.bytes += record.value.size();
        }
    }
}

}  // namespace

Result<Figure> produce_groups(const std::string& url, std::size_t group, double seconds) {
    KLOG_TRY_ASSIGN(const auto client, open_stream(url, "bench/groups"));
    const std::string lines = lines_of(group);
    Latencies latencies;
    const auto start = Clock::now();
    while (seconds_since(start) < seconds) {
        const auto begin = Clock::now();
        KLOG_TRY(client->write_body(lines));
        if (latencies.empty()) KLOG_TRY(expect_head(*client));
        for (std::size_t acks = 0; acks < group;) {
            KLOG_TRY_ASSIGN(const std::size_t some, read_lines(*client));
            acks += some;
        }
        latencies.add(Clock::now() - begin);
    }
    return latencies.figure(group, seconds_since(start));
}

Result<Figure> produce_unbounded(const std::string& url, double seconds) {
    KLOG_TRY_ASSIGN(const auto client, open_stream(url, "bench/unbounded"));
    const std::string lines = lines_of(kUnboundedLines);
    std::size_t acks = 0;
    Status read;
    const auto start = Clock::now();
    {
        std::jthread reader([&] {
            read = expect_head(*client);
            while (read) {
                const auto some = client->read_body(kReadBytes, kLimit);
                if (!some) read = some.error();
                if (!some || some->empty()) return;
                acks += static_cast<std::size_t>(std::count(some->begin(), some->end(), '\n'));
            }
        });
        Status written;
        while (written && seconds_since(start) < seconds) written = client->write_body(lines);
        if (written) written = client->end_body();
        if (!written) client->shut_down();
        reader.join();
        KLOG_TRY(std::move(written));
    }
    KLOG_TRY(std::move(read));
    Figure figure;
    figure.value = static_cast<double>(acks) / seconds_since(start);
    return figure;
}

Result<Figure> end_to_end(const std::string& url, std::size_t records,
                          std::chrono::microseconds pause) {
    KLOG_TRY_ASSIGN(const auto tail, Client::connect(url, kLimit));
    ClientRequest request;
    request.target = "/v1/records?filter=bench/e2e&from=end&follow=true&marks=true";
    KLOG_TRY(tail->send(request));
    KLOG_TRY(expect_head(*tail));
    KLOG_TRY_ASSIGN([[maybe_unused]] const std::size_t mark, read_lines(*tail));  // it follows now
    KLOG_TRY_ASSIGN(const auto producer, open_stream(url, "bench/e2e"));
    Latencies latencies;
    const std::string line = lines_of(1);
    while (latencies.size() < records) {
        std::this_thread::sleep_for(pause);
        const auto begin = Clock::now();
        KLOG_TRY(producer->write_body(line));
        KLOG_TRY_ASSIGN([[maybe_unused]] const std::size_t came, read_lines(*tail));
        latencies.add(Clock::now() - begin);
        if (latencies.size() == 1) KLOG_TRY(expect_head(*producer));
        KLOG_TRY_ASSIGN([[maybe_unused]] const std::size_t acks, read_lines(*producer));
    }
    return latencies.median();
}

Result<Figure> replay(const std::string& url) {
    KLOG_TRY_ASSIGN(const auto client, Client::connect(url, kLimit));
    ClientRequest request;
    request.target = "/v1/records?filter=bench/%3E";
    const auto start = Clock::now();
    KLOG_TRY(client->send(request));
    KLOG_TRY(expect_head(*client));
    std::size_t lines = 0;
    for (;;) {
        KLOG_TRY_ASSIGN(const std::string some, client->read_body(kReadBytes, kLimit));
        if (some.empty()) break;
        lines += static_cast<std::size_t>(std::count(some.begin(), some.end(), '\n'));
    }
    Figure figure;
    figure.value = static_cast<double>(lines) / seconds_since(start);
    return figure;
}

Result<Figure> replay_framed(const std::string& url) {
    KLOG_TRY_ASSIGN(const auto client, Client::connect(url, kLimit));
    ClientRequest request;
    request.target = "/v1/records?filter=bench/%3E";
    request.headers.emplace_back("Accept", kBatchMediaType);
    const auto start = Clock::now();
    KLOG_TRY(client->send(request));
    KLOG_TRY(expect_head(*client));
    BatchDecoder decoder;
    Replayed replayed;
    while (!decoder.ended()) {
        KLOG_TRY_ASSIGN(std::string some, client->read_body(kReadBytes, kLimit));
        if (some.empty()) return Error{Code::io, "the answer ended too early", ""};
        decoder.feed(std::move(some));
        KLOG_TRY(take_frames(decoder, replayed));
    }
    // The daemon answers with all that it has, so that bytes and records fit each other.
    if (replayed.bytes < replayed.records) {
        return Error{Code::io, "the records of the answer hold nothing", ""};
    }
    Figure figure;
    figure.value = static_cast<double>(replayed.records) / seconds_since(start);
    return figure;
}

}  // namespace klog::cli::bench
