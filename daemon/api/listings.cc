// Keys of a space and topics, a page at a time, so that a listing of any length costs little
// memory.
#include "daemon/api/listings.h"

#include <algorithm>
#include <array>
#include <limits>

#include "daemon/api/context.h"
#include "daemon/api/params.h"
#include "daemon/api/violations.h"
#include "daemon/json/json_check.h"

namespace klog::api {
namespace {

constexpr std::size_t kUnsentBytesMax = 256 * 1024;

constexpr std::array kKeysParams = {ParamSpec{"prefix"}, ParamSpec{"deleted"}, ParamSpec{"limit"},
                                    ParamSpec{"after"}};
constexpr std::array kTopicsParams = {ParamSpec{"filter"}, ParamSpec{"limit"}, ParamSpec{"after"}};

class ListStream : public std::enable_shared_from_this<ListStream> {
public:
    ListStream(ExchangePtr exchange, NextPage next, std::string after, std::uint64_t limit,
               std::size_t page_rows)
        : exchange_(std::move(exchange)),
          next_(std::move(next)),
          page_rows_(page_rows),
          after_(std::move(after)),
          left_(limit) {}

    void step() {
        if (exchange_->closed()) return;
        auto made = std::make_shared<std::optional<Result<Lines>>>();
        const std::size_t rows = std::min<std::uint64_t>(left_, page_rows_);
        exchange_->run_blocking(
            [self = shared_from_this(), made, rows] {
                made->emplace(self->next_(self->after_, rows));
            },
            [self = shared_from_this(), made] { self->stepped(std::move(**made)); });
    }

private:
    void stepped(Result<Lines> lines) {
        if (!lines) {
            if (!begun_) return answer_error(exchange_, lines.error());
            // A listing that breaks off must not look whole.
            return exchange_->abort();
        }
        const bool head_only = exchange_->request().method == "HEAD";
        if (!begun_ && (head_only || !lines->more || lines->rows >= left_)) {
            http::Response response;  // one page is the whole answer
            response.content_type = kNdjson;
            response.body = std::move(lines->text);
            return exchange_->respond(std::move(response));
        }
        if (!begun_) exchange_->start_stream(200, std::string(kNdjson), {});
        begun_ = true;
        exchange_->write(std::move(lines->text));
        left_ -= std::min<std::uint64_t>(left_, lines->rows);
        if (!lines->more || left_ == 0) return exchange_->finish();
        after_ = std::move(lines->last);
        exchange_->on_unsent_below(kUnsentBytesMax, [self = shared_from_this()] { self->step(); });
    }

    ExchangePtr exchange_;
    NextPage next_;
    std::size_t page_rows_;
    std::string after_;
    std::uint64_t left_;
    bool begun_ = false;
};

Result<Lines> keys_page(Log& log, const std::string& space, const std::string& prefix, bool deleted,
                        const std::string& after, std::size_t limit) {
    KLOG_TRY_ASSIGN(const Page<KeyRow> page, log.keys(space, prefix, after, deleted, limit));
    Lines lines;
    lines.more = page.more;
    lines.rows = page.rows.size();
    if (!page.rows.empty()) lines.last = page.rows.back().key;
    for (const KeyRow& row : page.rows) {
        lines.text += "{\"key\":";
        json::append_quoted(lines.text, row.key);
        lines.text += ",\"version\":" + std::to_string(row.head.version.value) +
                      ",\"seq\":" + std::to_string(row.head.last_seq.value);
        if (row.head.state != EntityState::live) {
            lines.text += ",\"state\":\"";
            lines.text += state_name(row.head.state);
            lines.text.push_back('"');
        }
        lines.text += "}\n";
    }
    return lines;
}

Result<Lines> topics_page(Log& log, const std::string& filter, const std::string& after,
                          std::size_t limit) {
    KLOG_TRY_ASSIGN(const Page<TopicRow> page, log.topics(filter, after, limit));
    Lines lines;
    lines.more = page.more;
    lines.rows = page.rows.size();
    if (!page.rows.empty()) lines.last = page.rows.back().topic;
    for (const TopicRow& row : page.rows) {
        lines.text += "{\"topic\":";
        json::append_quoted(lines.text, row.topic);
        lines.text += ",\"records\":" + std::to_string(row.records) +
                      ",\"last_seq\":" + std::to_string(row.last_seq.value) + "}\n";
    }
    return lines;
}

Status start_keys(const Context& context, const ExchangePtr& exchange) {
    const http::Request& request = exchange->request();
    KLOG_TRY_ASSIGN(const Params params, Params::parse(request, kKeysParams));
    KLOG_TRY_ASSIGN(const bool deleted, params.flag("deleted"));
    return start_listing(exchange, params,
                         [&log = context.log, space = request.segments[2],
                          prefix = std::string(params.text("prefix").value_or("")),
                          deleted](const std::string& after, std::size_t limit) {
                             return keys_page(log, space, prefix, deleted, after, limit);
                         });
}

Status start_topics(const Context& context, const ExchangePtr& exchange) {
    KLOG_TRY_ASSIGN(const Params params, Params::parse(exchange->request(), kTopicsParams));
    return start_listing(
        exchange, params,
        [&log = context.log, filter = std::string(params.text("filter").value_or(">"))](
            const std::string& after, std::size_t limit) {
            return topics_page(log, filter, after, limit);
        });
}

}  // namespace

Status start_listing(const ExchangePtr& exchange, const Params& params, NextPage next,
                     std::size_t page_rows) {
    KLOG_TRY_ASSIGN(const auto limit, params.number("limit"));
    if (limit && *limit == 0) return bad_value("limit", "0", "a number from 1");
    std::string after(params.text("after").value_or(""));
    std::make_shared<ListStream>(exchange, std::move(next), std::move(after),
                                 limit.value_or(std::numeric_limits<std::uint64_t>::max()),
                                 page_rows)
        ->step();
    return {};
}

void handle_keys(const Context& context, const ExchangePtr& exchange) {
    const Status started = start_keys(context, exchange);
    if (!started) answer_error(exchange, started.error());
}

void handle_topics(const Context& context, const ExchangePtr& exchange) {
    const Status started = start_topics(context, exchange);
    if (!started) answer_error(exchange, started.error());
}

}  // namespace klog::api
