// Paths, single entities, listings, health, the description.
#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>

#include "daemon/api/context.h"
#include "daemon/api/line_splitter.h"
#include "support/api_fixture.h"

using namespace klog;
using namespace klog::test;

TEST_CASE("api router: unknown paths and methods") {
    ApiFixture api;
    for (const char* path : {"/", "/v1", "/v2/records", "/v1/records/", "/v1/counts",
                             "/v1/spaces/a", "/v1/spaces/a/keys/k/state", "/livez/x"}) {
        CAPTURE(std::string(path));
        CHECK(api.get(path)->status() == 404);
    }
    const auto exchange = api.start(FakeExchange::make("DELETE", "/v1/records"));
    CHECK(exchange->status() == 405);
    CHECK(exchange->header("Allow") == "POST, GET, HEAD");
    CHECK(api.start(FakeExchange::make("POST", "/livez"))->header("Allow") == "GET, HEAD");
    CHECK(api.start(FakeExchange::make("HEAD", "/livez"))->status() == 200);
}

TEST_CASE("api router: another tenant's requests do not reach this one's data") {
    ApiFixture api;
    const auto exchange = FakeExchange::make("GET", "/v1/head");
    exchange->request_.headers.emplace_back("klog-tenant", "acme");
    CHECK(api.start(exchange)->status() == 404);
    CHECK(body_of(*exchange)["code"] == "config");
    const auto own = FakeExchange::make("GET", "/v1/head");
    own->request_.headers.emplace_back("klog-tenant", "default");
    CHECK(api.start(own)->status() == 200);
}

TEST_CASE("api get: the newest record, a version, and why there is none") {
    ApiFixture api;
    api.log().add("orders/1", "a/b", "1");
    api.log().add("orders/1", "a/b", "2");
    const auto newest = api.get("/v1/spaces/orders/keys/a%2Fb");
    CHECK(newest->status() == 200);
    CHECK(newest->header("ETag") == "\"v2\"");
    CHECK(body_of(*newest)["value"] == 2);
    CHECK(body_of(*api.get("/v1/spaces/orders/keys/a%2Fb?version=1"))["value"] == 1);
    const auto ahead = api.get("/v1/spaces/orders/keys/a%2Fb?version=9");
    CHECK(ahead->status() == 404);
    CHECK(body_of(*ahead)["state"] == "live");
    CHECK(body_of(*ahead)["version"] == 2);
    const auto absent = api.get("/v1/spaces/orders/keys/zz");
    CHECK(absent->status() == 404);
    CHECK(body_of(*absent)["code"] == "not_found");
    CHECK(body_of(*absent)["state"] == "absent");
    CHECK_FALSE(body_of(*absent).contains("version"));

    api.post("/v1/records?topic=orders/1&key=a/b&kind=tombstone", "application/json", "");
    const auto deleted = api.get("/v1/spaces/orders/keys/a%2Fb");
    CHECK(deleted->status() == 404);
    CHECK(body_of(*deleted)["state"] == "deleted");
    CHECK(body_of(*deleted)["version"] == 3);
    const auto tombstone = api.get("/v1/spaces/orders/keys/a%2Fb?version=3");
    CHECK(tombstone->status() == 200);
    CHECK(body_of(*tombstone)["kind"] == "tombstone");
    CHECK(api.get("/v1/spaces/orders/keys/a%2Fb?version=x")->status() == 400);
}

TEST_CASE("api head: a cursor, also of a filter") {
    ApiFixture api;
    CHECK(api.get("/v1/head")->text() == "{\"seq\":0}\n");
    api.log().add("a/1", "", "1");
    api.log().add("b/1", "", "1");
    CHECK(api.get("/v1/head")->text() == "{\"seq\":2}\n");
    CHECK(api.get("/v1/head?filter=a/>")->text() == "{\"seq\":1}\n");
    CHECK(api.get("/v1/head?filter=c")->text() == "{\"seq\":0}\n");
    CHECK(api.get("/v1/head?filter=")->status() == 400);
}

TEST_CASE("api listings: keys and topics, page by page") {
    ApiFixture api;
    for (int i = 0; i < 2500; ++i) api.log().add("s/" + std::to_string(i), std::to_string(i), "1");
    api.post("/v1/records?topic=s/x&key=7&kind=tombstone", "application/json", "");
    CHECK(lines_of(*api.get("/v1/spaces/s/keys")).size() == 2499);
    CHECK(lines_of(*api.get("/v1/spaces/s/keys?prefix=100")).size() == 11);
    CHECK(lines_of(*api.get("/v1/spaces/s/keys?limit=1001")).size() == 1001);
    CHECK(lines_of(*api.get("/v1/spaces/s/keys?after=998&limit=1")).front()["key"] == "999");
    const auto deleted = lines_of(*api.get("/v1/spaces/s/keys?prefix=7&deleted=true&limit=1"));
    CHECK(deleted.front() ==
          nlohmann::json::parse(R"({"key":"7","version":2,"seq":2501,"state":"deleted"})"));
    CHECK(api.get("/v1/spaces/s/keys?limit=0")->status() == 400);

    CHECK(lines_of(*api.get("/v1/topics")).size() == 2501);
    CHECK(lines_of(*api.get("/v1/topics?filter=s/x")).front() ==
          nlohmann::json::parse(R"({"topic":"s/x","records":1,"last_seq":2501})"));
    CHECK(api.get("/v1/topics?prefix=x")->status() == 400);
}

TEST_CASE("api health: alive, ready, and why not") {
    ApiFixture api;
    CHECK(api.get("/livez")->status() == 200);
    CHECK(api.get("/readyz")->status() == 200);
    api.store.stats_.writable = false;
    CHECK(api.get("/readyz")->status() == 503);
    CHECK(body_of(*api.get("/readyz"))["code"] == "disk_full");
    api.store.stats_.failed = true;
    CHECK(body_of(*api.get("/readyz"))["code"] == "io");
    CHECK(api.get("/livez")->status() == 200);
}

TEST_CASE("api metrics: every figure has its help and type") {
    ApiFixture api;
    api.store.stats_.sync_micros_total = 1'500'000;
    api.log().add("a", "", "1");
    const std::string text = api.get("/metrics")->text();
    CHECK(text.find("klog_log_head_seq 1\n") != std::string::npos);
    CHECK(text.find("klog_store_sync_seconds_total 1.500000\n") != std::string::npos);
    CHECK(text.find("klog_build_info{version=\"1.2.3\"} 1\n") != std::string::npos);
    std::size_t figures = 0;
    std::size_t begin = 0;
    while (begin < text.size()) {
        const std::size_t end = text.find('\n', begin);
        const std::string line = text.substr(begin, end - begin);
        begin = end + 1;
        if (line[0] == '#') continue;
        ++figures;
        const std::string name = line.substr(0, line.find_first_of("{ "));
        CHECK(text.find("# HELP " + name + " ") != std::string::npos);
        CHECK(text.find("# TYPE " + name + " ") != std::string::npos);
    }
    CHECK(figures > 15);
}

TEST_CASE("api openapi: what is built in is the schema of the repository and names every path") {
    std::ifstream file(std::string(KLOG_SOURCE_DIR) + "/schemas/openapi.json");
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    REQUIRE_FALSE(text.empty());
    CHECK(api::openapi_text() == text);
    ApiFixture api;
    const auto served = body_of(*api.get("/v1/openapi.json"));
    CHECK(served["openapi"] == "3.1.0");
    for (const auto& [path, item] : served["paths"].items()) {
        std::string target = path;
        for (const char* name : {"{space}", "{key}", "{name}"}) {
            const std::size_t at = target.find(name);
            if (at != std::string::npos) target.replace(at, std::string(name).size(), "x");
        }
        for (const auto& [method, operation] : item.items()) {
            if (method == "parameters") continue;
            std::string upper = method;
            std::transform(upper.begin(), upper.end(), upper.begin(),
                           [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
            const auto exchange = api.start(FakeExchange::make(upper, target));
            CAPTURE(target);
            CHECK(exchange->status() != 405);
            if (exchange->status() == 404) CHECK(body_of(*exchange)["code"] == "not_found");
            // Every parameter that is described is known.
            for (const auto& parameter : operation.value("parameters", nlohmann::json::array())) {
                if (parameter["in"] != "query") continue;
                const std::string query = "?" + parameter["name"].get<std::string>() + "=";
                std::string code;
                for (const char* type : {"application/json", "application/x-ndjson"}) {
                    const auto tried = method == "get" ? api.get(target + query)
                                                       : api.post(target + query, type, "");
                    const bool refused = tried->response_ && tried->status() == 400;
                    code = refused ? body_of(*tried)["code"].get<std::string>() : "";
                    if (code != "unknown_parameter") break;
                }
                CAPTURE(query);
                CHECK(code != "unknown_parameter");
            }
        }
    }
}

TEST_CASE("line_splitter: a line is cut at its feed and dropped past its limit") {
    api::LineSplitter splitter(4);
    splitter.feed(std::make_shared<std::string>("ab\n\n12345\ncd"), false);
    auto line = splitter.next();
    REQUIRE(line);
    CHECK(std::string(line->data, line->size) == "ab");
    line = splitter.next();
    REQUIRE(line);
    CHECK(line->number == 3);
    CHECK(line->too_long);
    CHECK_FALSE(splitter.next());
    splitter.feed(std::make_shared<std::string>("ef"), false);
    CHECK_FALSE(splitter.next());
    splitter.feed(std::make_shared<std::string>("g\nx"), true);
    line = splitter.next();
    REQUIRE(line);
    CHECK(line->number == 4);
    CHECK(line->too_long);
    CHECK_FALSE(splitter.ended());
    line = splitter.next();
    REQUIRE(line);
    CHECK(std::string(line->data, line->size) == "x");
    CHECK(splitter.ended());
    CHECK_FALSE(splitter.next());
}
