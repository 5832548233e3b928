#include "probes/rabbitmq/client.hpp"

#include "config/scalar.hpp"
#include "exporter/model/text_format.hpp"
#include "probes/net/http_proxy.hpp"
#include "probes/net/offload.hpp"

#include <algorithm>
#include <exception>
#include <iterator>
#include <string_view>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

namespace vitalsd::rabbitmq {
namespace {

constexpr std::size_t kPageSize = 500;                  // the maximum of the API
constexpr std::size_t kMaxBody = std::size_t{2} << 20;  // 500 queues have 200 KB
// The server lists and sorts all queues for each page. With 10,000 queues, 20 pages take ten times
// the CPU time of one list without statistics, and twice that of one list with statistics. So a
// list that fits the limit is read at once. The limit of the response is higher than that of the
// estimate, because the rows of the first page may be shorter than the others.
constexpr std::size_t kMaxWhole = std::size_t{4} << 20;       // estimated
constexpr std::size_t kMaxWholeBody = std::size_t{16} << 20;  // received
constexpr std::string_view kNotManagementUser = "Not management user";

config::Url with_path(config::Url url, std::string_view path, std::string query) {
  while (url.path.ends_with('/')) url.path.pop_back();
  url.path += path;
  url.query = std::move(query);
  return url;
}

Reason reason_of(int status) {
  switch (status) {
    case 401:
      return Reason::auth;
    case 403:
      return Reason::permission;
    case 429:
      return Reason::overload;
    default:
      return status >= 500 ? Reason::unready : Reason::mismatch;
  }
}

}  // namespace

ProbeError lacks_tag(const User& user) {
  std::string tags;
  for (const std::string& tag : user.tags) tags += (tags.empty() ? "" : ", ") + tag;
  return {Reason::permission,
          fmt::format(
              "the user {} has {}, so it sees only the virtual hosts that it may use, and "
              "no nodes; run: {}",
              user.name,
              tags.empty() ? "no tag" : (user.tags.size() > 1 ? "the tags " : "the tag ") + tags,
              user.granting_command())};
}

asio::awaitable<void> Client::load_credentials(SampleSet& out) {
  authorized_ = co_await access_.request(environment_.files, out);
}

net::HttpRequest Client::request(const config::Url& url, Time deadline) const {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  if (left.count() <= 0) {
    throw ProbeError(Reason::timeout, net::shown(url) + ": no time is left for the request");
  }
  net::HttpRequest request = authorized_;
  request.url = url;
  request.max_body = kMaxBody;
  request.limit = left;
  return request;
}

ProbeError Client::refused(const config::Url& url, const net::HttpResponse& response) const {
  constexpr std::size_t kMaxReason = 200;
  const std::string reason = shown_text(read_reason(response.body), kMaxReason);
  if (response.status == 401 && reason == kNotManagementUser && !access_.user.empty()) {
    return lacks_tag({.name = access_.user, .tags = {}});
  }
  return net::about_response(url, access_.proxy,
                             {reason_of(response.status),
                              fmt::format("{}: status {}{}{}", net::shown(url), response.status,
                                          reason.empty() ? "" : ": ", reason)});
}

asio::awaitable<NodePage> Client::node_page(const config::Url& url, const std::string& address,
                                            Time deadline) const {
  net::HttpRequest request =
      this->request(with_path(url, kNodePagePath, std::string(kNodePageQuery)), deadline);
  request.url.host = address;
  if (request.tls.server_name.empty() && address != url.host) {
    request.tls.server_name = url.host;
  }
  NodePageReader reader;
  std::exception_ptr error;
  request.on_data = [&](std::string_view piece) {
    try {
      reader.feed(piece);
    } catch (...) {  // must not unwind through libcurl; rethrown below
      error = std::current_exception();
    }
    return error == nullptr;
  };
  SampleSet steps;  // the run reports one step for all nodes, not one for each request
  const net::HttpResponse response = co_await environment_.http.perform(request, steps);
  if (error) std::rethrow_exception(error);
  if (response.status == 404) {
    throw ProbeError(Reason::mismatch,
                     net::shown(url) + " has no " + std::string(kNodePagePath) +
                         ": it is not the address of RabbitMQ's Prometheus plug-in (port 15692)");
  }
  if (response.status < 200 || response.status > 299) throw refused(request.url, response);
  co_return reader.finish();
}

asio::awaitable<net::HttpResponse> Client::get(const config::Url& api, std::string_view path,
                                               const std::string& query, Time deadline,
                                               std::size_t max_body) const {
  net::HttpRequest request = this->request(with_path(api, path, query), deadline);
  if (max_body > 0) request.max_body = max_body;
  request.reuse_connection = true;
  SampleSet steps;
  co_return co_await environment_.http.perform(request, steps);
}

template <class Result>
asio::awaitable<Result> Client::parse(net::HttpResponse response,
                                      Result (*read)(std::string_view)) const {
  constexpr std::size_t kMaxOnLoop = std::size_t{64} << 10;
  if (response.body.size() <= kMaxOnLoop) co_return read(response.body);
  const auto work = [read, body = std::move(response.body)](const net::StopFlag&) {
    return read(body);
  };
  co_return co_await environment_.computing.run("response of RabbitMQ", work);
}

asio::awaitable<std::optional<User>> Client::whoami(const config::Url& api, Time deadline) const {
  const net::HttpResponse response = co_await get(api, "/api/whoami", "", deadline);
  if (response.status == 404) co_return std::nullopt;
  if (response.status != 200) throw refused(api, response);
  co_return read_user(response.body);
}

asio::awaitable<std::vector<ManagedNode>> Client::nodes(const config::Url& api,
                                                        Time deadline) const {
  net::HttpResponse response =
      co_await get(api, "/api/nodes", "columns=" + std::string(kNodeColumns), deadline);
  if (response.status != 200) throw refused(api, response);
  co_return co_await parse(std::move(response), read_nodes);
}

asio::awaitable<std::optional<std::vector<Alarm>>> Client::alarms(const config::Url& api,
                                                                  Time deadline) const {
  const net::HttpResponse response = co_await get(api, "/api/health/checks/alarms", "", deadline);
  if (response.status == 404) co_return std::nullopt;
  // 503: there are alarms, or a proxy or a server that starts has responded.
  const bool has_alarms = response.status == 503 && !read_status(response.body).empty();
  if (response.status != 200 && !has_alarms) throw refused(api, response);
  co_return read_alarms(response.body);
}

asio::awaitable<Overview> Client::overview(const config::Url& api, Time deadline) const {
  const net::HttpResponse response =
      co_await get(api, "/api/overview", "columns=" + std::string(kOverviewColumns), deadline);
  co_return response.status == 200 ? read_overview(response.body) : Overview{};
}

asio::awaitable<void> Client::expect_all(const config::Url& api, const std::vector<Queue>& listed,
                                         Time deadline) const {
  const std::size_t before = (co_await overview(api, deadline)).queues.value_or(0);
  if (before <= listed.size()) co_return;
  const net::HttpResponse vhosts = co_await get(api, "/api/vhosts", "columns=name", deadline);
  if (vhosts.status != 200) throw refused(api, vhosts);
  std::vector<std::string> hidden = read_vhosts(vhosts.body);
  const auto drop_visible = [&hidden](const std::vector<Queue>& queues) {
    std::unordered_set<std::string_view> visible;
    for (const Queue& queue : queues) visible.insert(queue.vhost);
    std::erase_if(hidden, [&](const std::string& name) { return visible.contains(name); });
  };
  drop_visible(listed);
  if (hidden.empty()) co_return;
  // The count also exceeds the list if a queue was declared after the list was read, or deleted
  // after the count. A virtual host without queues would then be taken for one without permission.
  // So the list is read again, between two counts.
  const AllQueues again = co_await queues(api, Columns::attributes, deadline);
  const std::size_t count = std::min(before, (co_await overview(api, deadline)).queues.value_or(0));
  if (count <= again.queues.size()) co_return;
  drop_visible(again.queues);
  if (hidden.empty()) co_return;
  throw ProbeError(Reason::permission,
                   fmt::format("the user {0} sees {1} of {2} queues, because it has no permission "
                               "on a virtual host; run, for each of {4}: "
                               "rabbitmqctl set_permissions -p {3} {0} '' '' ''",
                               access_.user.empty() ? "USER" : access_.user, again.queues.size(),
                               count, hidden.front(), fmt::join(hidden, ", ")));
}

asio::awaitable<AllQueues> Client::queues(const config::Url& api, Columns wanted,
                                          Time deadline) const {
  // Without statistics, the server need not query the nodes. With totals, it returns the state of a
  // queue.
  const std::string columns =
      std::string(wanted == Columns::all ? "" : "disable_stats=true&enable_queue_totals=true&") +
      "columns=" + std::string(wanted == Columns::attributes ? kAttributeColumns : kQueueColumns);
  AllQueues all;
  std::size_t total = 0;
  for (std::size_t page = 1;; ++page) {
    net::HttpResponse response =
        co_await get(api, "/api/queues",
                     fmt::format("page={}&page_size={}&{}", page, kPageSize, columns), deadline);
    // The last page no longer exists, because queues have been deleted.
    if (response.status == 400 && page > 1) {
      all.has_shifted = true;
      break;
    }
    if (response.status != 200) throw refused(api, response);
    const std::size_t size = response.body.size();
    QueueList list = co_await parse(std::move(response), read_queues);
    if (page == 1 && list.pages > 1 && !list.queues.empty()) {
      if (size / list.queues.size() * list.total <= kMaxWhole) {
        net::HttpResponse whole =
            co_await get(api, "/api/queues", columns, deadline, kMaxWholeBody);
        if (whole.status != 200) throw refused(api, whole);
        all.queues = (co_await parse(std::move(whole), read_queues)).queues;
        break;
      }
      all.queues.reserve(std::min(list.total, kMaxQueues));
    }
    if (page > 1 && list.total != total) all.has_shifted = true;
    total = list.total;
    std::ranges::move(list.queues, std::back_inserter(all.queues));
    if (all.queues.size() > kMaxQueues) {
      throw ProbeError(Reason::protocol, net::shown(api) + ": too many queues");
    }
    if (list.queues.empty() || page >= list.pages) break;
  }
  co_return all;
}

}  // namespace vitalsd::rabbitmq
