#include "probes/net/http_client.hpp"

#include "probes/error.hpp"
#include "probes/net/certificate_info.hpp"
#include "probes/net/pending.hpp"
#include "probes/net/socket_watch.hpp"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstring>
#include <ctime>
#include <exception>
#include <functional>
#include <mutex>
#include <set>
#include <string>

#include <boost/asio/post.hpp>
#include <curl/curl.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

namespace vitalsd::net {
namespace {

constexpr std::size_t kMostHeaderBytes = 64 * 1024;
constexpr const char* kUserAgent = "vitalsd";
constexpr std::size_t kMostIdle = 64;  // handles kept for reuse; 5 KB each

std::uint16_t port_of(const config::Url& url) {
  if (url.port != 0) return url.port;
  return url.scheme == "https" ? 443 : 80;
}

std::string bracketed(const std::string& host) {
  return host.contains(':') ? '[' + host + ']' : host;
}

Reason reason_of(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return Reason::dns;
    case CURLE_COULDNT_CONNECT:
      return Reason::connect;
    case CURLE_OPERATION_TIMEDOUT:
      return Reason::timeout;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
      return Reason::tls;
    case CURLE_URL_MALFORMAT:
      return Reason::config;
    case CURLE_FAILED_INIT:
    case CURLE_BAD_FUNCTION_ARGUMENT:
      return Reason::internal;
    default:
      return Reason::protocol;  // empty, cut off or malformed answers, or none of HTTP's at all
  }
}

// A host's name that no other way of trusting a server has.
std::string trust_name(const TlsOptions& tls) {
  return "trust-" +
         std::to_string(std::hash<std::string>()(tls.ca + '\n' + tls.certificate + '\n' + tls.key));
}

// An IPv6 address as a name.
std::string address_name(std::string address) {
  std::ranges::replace(address, ':', '-');
  return "address-" + address;
}

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using List = std::unique_ptr<curl_slist, FreeList>;

void append(List& list, const std::string& line) {
  list.reset(curl_slist_append(list.release(), line.c_str()));
}

}  // namespace

bool same_header(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

const std::string* HttpResponse::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (same_header(key, name)) return &value;
  }
  return nullptr;
}

class HttpClient::Impl {
 public:
  Impl(asio::io_context& loop, TimerWheel& wheel, Resolver& resolver, TlsContexts& tls)
      : loop_(loop),
        wheel_(wheel),
        resolver_(resolver),
        tls_(tls),
        timer_([this] { timed_out(); }),
        sockets_(loop, [this](int socket, SocketWatch::Event event) {
          if (event == SocketWatch::Event::readable) {
            read(socket);
          } else {
            write(socket);
          }
        }) {
    static std::once_flag once;
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_ALL); });
    multi_ = curl_multi_init();
    curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &Impl::on_socket);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &Impl::on_timer);
    curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, 64L);  // kept open for reuse, at most
  }
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  asio::awaitable<HttpResponse> perform(const HttpRequest& request, SampleSet& out);

 private:
  // An easy handle with a DNS cache of its own: a cache for all would hold every host, and libcurl
  // looks through the whole of it after each transfer.
  struct Handle {
    CURL* easy = curl_easy_init();
    CURLSH* share = curl_share_init();
    std::string resolved;  // "host:port" of the entry in its cache

    Handle() { curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS); }
    ~Handle() {
      curl_easy_cleanup(easy);
      curl_share_cleanup(share);
    }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
  };

  struct Transfer {
    Transfer(Impl& owner, const HttpRequest& asked) : client(owner), request(asked) {}

    Impl& client;
    const HttpRequest& request;
    std::unique_ptr<Handle> handle;
    std::shared_ptr<Pending<CURLcode>> pending;
    HttpResponse response;
    List headers;
    List resolve;
    List connect_to;
    std::size_t header_bytes = 0;
    std::shared_ptr<X509_STORE> store;
    bool too_large = false;
    bool ended = false;  // by on_data
    [[nodiscard]] bool streams() const {
      constexpr long kFirst = 200;
      constexpr long kLast = 299;
      if (!request.on_data) return false;
      long status = 0;
      curl_easy_getinfo(handle->easy, CURLINFO_RESPONSE_CODE, &status);
      return status >= kFirst && status <= kLast;
    }

    char error[CURL_ERROR_SIZE] = {};  // NOLINT(modernize-avoid-c-arrays): libcurl's own form
  };

  static int on_socket(CURL* easy, curl_socket_t number, int what, void* self, void* socket);
  static int on_timer(CURLM* multi, long timeout_ms, void* self);
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* transfer);
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* transfer);
  static CURLcode on_ssl_context(CURL* easy, void* context, void* transfer);
  static void on_tls(int written, int version, int type, const void* data, std::size_t size,
                     SSL* tls, void* self);

  void prepare(Transfer& transfer, const Addresses& addresses);
  void start(Transfer& transfer, std::shared_ptr<Pending<CURLcode>> pending);
  void stop(Transfer& transfer);
  static void read_phases(Transfer& transfer, double resolve_seconds);
  void act(curl_socket_t socket, int events);
  void read(curl_socket_t socket);
  void read_later(curl_socket_t socket);
  void write(curl_socket_t socket);
  void timed_out();
  void read_results();

  asio::io_context& loop_;
  TimerWheel& wheel_;
  Resolver& resolver_;
  TlsContexts& tls_;
  Timer timer_;
  SocketWatch sockets_;
  CURLM* multi_;
  std::vector<std::unique_ptr<Handle>> idle_;
  std::size_t streamed_ = 0;       // bytes given to on_data
  std::size_t progress_ = 0;       // TLS records and pieces of streams
  std::set<curl_socket_t> ahead_;  // streams of which OpenSSL may have more than libcurl has read
  bool kick_posted_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for what is posted to the loop
};

HttpClient::Impl::~Impl() {
  *alive_ = false;
  idle_.clear();
  curl_multi_cleanup(multi_);
}

// ---- libcurl's sockets and timer on the loop -------------------------------------------------

int HttpClient::Impl::on_socket(CURL* easy, curl_socket_t socket, int what, void* self,
                                void* /*socket*/) {
  auto& client = *static_cast<Impl*>(self);
  const bool watched = what != CURL_POLL_REMOVE;
  client.sockets_.set(socket, watched && (what & CURL_POLL_IN) != 0,
                      watched && (what & CURL_POLL_OUT) != 0);
  if (!watched) {
    client.ahead_.erase(socket);
    return 0;
  }
  void* raw = nullptr;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, &raw);
  if (static_cast<Transfer*>(raw)->request.on_data) client.ahead_.insert(socket);
  return 0;
}

int HttpClient::Impl::on_timer(CURLM* /*multi*/, long timeout_ms, void* self) {
  auto& client = *static_cast<Impl*>(self);
  if (timeout_ms < 0) {
    client.timer_.disarm();
  } else if (timeout_ms > 0) {
    client.wheel_.arm_after(client.timer_, std::chrono::milliseconds(timeout_ms));
  } else if (!client.kick_posted_) {
    // "At once", which libcurl asks for with every new transfer: one post serves a whole batch.
    client.kick_posted_ = true;
    asio::post(client.loop_, [&client, alive = client.alive_] {
      if (!*alive) return;
      client.kick_posted_ = false;
      client.timed_out();
    });
  }
  return 0;
}

// libcurl reads one TLS record a call, and an event of a watch is a record: all that has come is
// read at once. OpenSSL has read ahead, so that the socket does not tell of it: only when a call
// brings nothing, it can be waited for.
void HttpClient::Impl::read(curl_socket_t socket) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kLongest = std::chrono::milliseconds(1);
  const auto until = Clock::now() + kLongest;
  const std::size_t streamed_before = streamed_;
  std::size_t before = 0;
  do {
    before = progress_;
    act(socket, CURL_CSELECT_IN);
    if (!sockets_.watches(socket)) return;
  } while (progress_ > before && Clock::now() < until);
  if (progress_ > before) {
    read_later(socket);
  } else if (streamed_ > streamed_before) {
    sockets_.gather(socket, streamed_ - streamed_before);
  }
}

void HttpClient::Impl::read_later(curl_socket_t socket) {
  asio::post(loop_, [this, socket, alive = alive_] {
    if (*alive && ahead_.contains(socket)) read(socket);
  });
}

// libcurl reads where it writes, and when its time has come, too.
void HttpClient::Impl::write(curl_socket_t socket) {
  const std::size_t before = progress_;
  act(socket, CURL_CSELECT_OUT);
  if (progress_ > before) read_later(socket);
}

void HttpClient::Impl::timed_out() {
  const std::size_t before = progress_;
  act(CURL_SOCKET_TIMEOUT, 0);
  if (progress_ > before) std::ranges::for_each(ahead_, [this](auto s) { read_later(s); });
}

void HttpClient::Impl::act(curl_socket_t socket, int events) {
  int running = 0;
  curl_multi_socket_action(multi_, socket, events, &running);
  read_results();
}

void HttpClient::Impl::read_results() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    void* raw = nullptr;
    const CURLcode code = message->data.result;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &raw);
    static_cast<Transfer*>(raw)->pending->succeed(code);
  }
}

// ---- one transfer -----------------------------------------------------------------------------

std::size_t HttpClient::Impl::on_body(char* data, std::size_t size, std::size_t count, void* raw) {
  auto& transfer = *static_cast<Transfer*>(raw);
  const std::size_t bytes = size * count;
  if (transfer.streams()) {
    transfer.client.streamed_ += bytes;
    ++transfer.client.progress_;
    transfer.ended = !transfer.request.on_data(std::string_view(data, bytes));
    return transfer.ended ? 0 : bytes;
  }
  if (transfer.response.body.size() + bytes > transfer.request.most_body) {
    transfer.too_large = true;
    return 0;  // ends the transfer
  }
  transfer.response.body.append(data, bytes);
  return bytes;
}

std::size_t HttpClient::Impl::on_header(char* data, std::size_t size, std::size_t count,
                                        void* raw) {
  auto& transfer = *static_cast<Transfer*>(raw);
  const std::size_t bytes = size * count;
  transfer.header_bytes += bytes;
  if (transfer.header_bytes > kMostHeaderBytes) {
    transfer.too_large = true;
    return 0;
  }
  std::string_view line(data, bytes);
  while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) {  // after a "100 Continue" there is another one
    transfer.response.headers.clear();
    if (transfer.request.url.scheme == "https" && !transfer.response.certificate_expiry) {
      curl_tlssessioninfo* info = nullptr;
      curl_easy_getinfo(transfer.handle->easy, CURLINFO_TLS_SSL_PTR, &info);
      if (info != nullptr && info->internals != nullptr) {
        transfer.response.certificate_expiry =
            earliest_expiry(SSL_get_peer_cert_chain(static_cast<SSL*>(info->internals)));
      }
    }
    return bytes;
  }
  if (line.empty() && transfer.streams()) {  // the end of the headers
    transfer.ended = !transfer.request.on_data({});
    return transfer.ended ? 0 : bytes;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return bytes;
  std::string_view value = line.substr(colon + 1);
  while (value.starts_with(' ') || value.starts_with('\t')) value.remove_prefix(1);
  while (value.ends_with(' ') || value.ends_with('\t')) value.remove_suffix(1);
  transfer.response.headers.emplace_back(line.substr(0, colon), value);
  return bytes;
}

CURLcode HttpClient::Impl::on_ssl_context(CURL* /*easy*/, void* context, void* raw) {
  auto& transfer = *static_cast<Transfer*>(raw);
  auto* const tls = static_cast<SSL_CTX*>(context);
  if (transfer.store) SSL_CTX_set1_cert_store(tls, transfer.store.get());
  if (transfer.request.on_data) {
    // One call to the kernel for many records, in place of two for each.
    constexpr std::size_t kAhead = std::size_t{64} << 10;
    SSL_CTX_set_read_ahead(tls, 1);
    SSL_CTX_set_default_read_buffer_len(tls, kAhead);
    SSL_CTX_set_msg_callback(tls, &Impl::on_tls);
    SSL_CTX_set_msg_callback_arg(tls, &transfer.client);
  }
  return CURLE_OK;
}

void HttpClient::Impl::on_tls(int written, int /*version*/, int /*type*/, const void* /*data*/,
                              std::size_t /*size*/, SSL* /*tls*/, void* self) {
  if (written == 0) ++static_cast<Impl*>(self)->progress_;
}

void HttpClient::Impl::prepare(Transfer& transfer, const Addresses& addresses) {
  const HttpRequest& request = transfer.request;
  CURL* const easy = transfer.handle->easy;
  curl_easy_reset(easy);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
  curl_easy_setopt(easy, CURLOPT_SHARE, transfer.handle->share);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.error);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_PROXY, "");  // else the environment chooses one
  curl_easy_setopt(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Impl::on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Impl::on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, kUserAgent);
  if (request.on_data) {
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  } else {
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip, deflate");  // and decodes what comes
  }
  // The run's deadline ends a transfer, nothing else; libcurl's own default for connecting is 300
  // s.
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, 86'400L);
  if (request.limit.count() > 0) {
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request.limit.count()));
  }
  curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 0L);  // one write a request: nothing to delay
  if (!request.reuse_connection) {
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    if (!request.on_data) {
      curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 1024L);  // health answers are short
    }
  }

  // Whom to ask. The URL's host is what SNI and verification use: where another name is wanted for
  // them, it stands in the URL, and the host's own in the Host header.
  const config::Url& url = request.url;
  const std::uint16_t port = port_of(url);
  const bool renamed = url.scheme == "https" && !request.tls.server_name.empty();
  const std::string& name = renamed ? request.tls.server_name : url.host;
  config::Url asked = url;
  asked.host = name;
  curl_easy_setopt(easy, CURLOPT_URL, asked.text().c_str());
  // A kept connection that was verified by other CAs is not ours to use. libcurl does not know of
  // them, but it does tell connections apart by the name of where they lead to.
  const bool kept = request.reuse_connection && url.scheme == "https";
  // Nor does it take an address with colons for a name of its cache.
  const bool colons = name.contains(':');
  const std::string place = kept ? trust_name(request.tls) : colons ? address_name(name) : name;
  const std::string entry = place + ':' + std::to_string(port);
  if (kept || colons) {
    append(transfer.connect_to, bracketed(name) + ':' + std::to_string(port) + ':' + entry);
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, transfer.connect_to.get());
  }
  std::string& resolved = transfer.handle->resolved;
  if (!resolved.empty()) append(transfer.resolve, '-' + resolved);
  std::string list;
  for (const auto& address : addresses) {
    list += (list.empty() ? "" : ",") + bracketed(address.to_string());
  }
  append(transfer.resolve, entry + ':' + list);
  resolved = entry;
  curl_easy_setopt(easy, CURLOPT_RESOLVE, transfer.resolve.get());

  bool has_host = false;
  for (const auto& [header, value] : request.headers) {
    has_host = has_host || same_header(header, "Host");
    // "Name;" is libcurl's way to send a header without a value.
    append(transfer.headers, value.empty() ? header + ';' : header + ": " + value);
  }
  if (renamed && !has_host) {
    const std::string host =
        bracketed(url.host) + (url.port != 0 ? ':' + std::to_string(port) : "");
    append(transfer.headers, "Host: " + host);
  }
  if (!request.body.empty()) append(transfer.headers, "Expect:");  // no "100 Continue" round
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer.headers.get());

  if (request.method == "HEAD") {
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  } else if (!request.body.empty() || request.method == "POST") {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(request.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.c_str());
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  } else if (request.method != "GET") {
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }

  if (request.aws) {
    const std::string scope = "aws:amz:" + request.aws_region + ":s3";
    curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, scope.c_str());
    curl_easy_setopt(easy, CURLOPT_USERNAME, request.aws->access_key.c_str());
    curl_easy_setopt(easy, CURLOPT_PASSWORD, request.aws->secret_key.c_str());
  } else if (!request.bearer.empty()) {
    curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, request.bearer.c_str());
  } else if (!request.user.empty()) {
    curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    curl_easy_setopt(easy, CURLOPT_USERNAME, request.user.c_str());
    curl_easy_setopt(easy, CURLOPT_PASSWORD, request.password.c_str());
  }

  if (url.scheme == "https") {
    const TlsOptions& tls = request.tls;
    // Our own store, shared; libcurl would read the bundle and a directory anew each time.
    curl_easy_setopt(easy, CURLOPT_CAINFO, nullptr);
    curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
    // libcurl would keep the first store that it meets here, and use that one for every host: its
    // cache knows stores by the name of the file, which they all lack. Nor may it change ours.
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_OPTIONS, static_cast<long>(CURLSSLOPT_NO_PARTIALCHAIN));
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, tls.verify ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, tls.verify ? 2L : 0L);
    // A resumed session is not verified again, so it would hide a certificate that has expired.
    curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    if (tls.verify) {
      X509_STORE* const store = tls_.store(tls.ca);
      X509_STORE_up_ref(store);
      transfer.store.reset(store, X509_STORE_free);
    }
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, &Impl::on_ssl_context);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, &transfer);
    if (is_pem(tls.certificate)) {
      const auto set = [&](CURLoption option, const std::string& pem) {
        curl_blob blob{const_cast<char*>(pem.data()), pem.size(), CURL_BLOB_COPY};
        curl_easy_setopt(easy, option, &blob);
      };
      set(CURLOPT_SSLCERT_BLOB, tls.certificate);
      set(CURLOPT_SSLKEY_BLOB, tls.key);
    } else if (!tls.certificate.empty()) {
      curl_easy_setopt(easy, CURLOPT_SSLCERT, tls.certificate.c_str());
      curl_easy_setopt(easy, CURLOPT_SSLKEY, tls.key.c_str());
    }
  }
}

void HttpClient::Impl::start(Transfer& transfer, std::shared_ptr<Pending<CURLcode>> pending) {
  transfer.pending = std::move(pending);
  const CURLMcode code = curl_multi_add_handle(multi_, transfer.handle->easy);
  if (code != CURLM_OK) {
    transfer.pending->fail_with(ProbeError(Reason::internal, curl_multi_strerror(code)));
  }
}

void HttpClient::Impl::stop(Transfer& transfer) {
  curl_multi_remove_handle(multi_, transfer.handle->easy);
  if (idle_.size() < kMostIdle) idle_.push_back(std::move(transfer.handle));
}

void HttpClient::Impl::read_phases(Transfer& transfer, double resolve_seconds) {
  CURL* const easy = transfer.handle->easy;
  const auto microseconds = [&](CURLINFO info) {
    curl_off_t value = 0;
    curl_easy_getinfo(easy, info, &value);
    return value;
  };
  const auto seconds = [](curl_off_t from, curl_off_t to) {
    return static_cast<double>(to - from) / 1e6;
  };
  // Each from the beginning; what did not happen is 0.
  const curl_off_t resolved = microseconds(CURLINFO_NAMELOOKUP_TIME_T);
  const curl_off_t connected = std::max(microseconds(CURLINFO_CONNECT_TIME_T), resolved);
  const curl_off_t secured = std::max(microseconds(CURLINFO_APPCONNECT_TIME_T), connected);
  const curl_off_t first_byte = std::max(microseconds(CURLINFO_STARTTRANSFER_TIME_T), secured);
  const curl_off_t total = std::max(microseconds(CURLINFO_TOTAL_TIME_T), first_byte);
  HttpPhases& phases = transfer.response.phases;
  phases.resolve = resolve_seconds;
  phases.connect = seconds(resolved, connected);
  phases.tls = seconds(connected, secured);
  phases.processing = seconds(secured, first_byte);
  phases.transfer = seconds(first_byte, total);
}

asio::awaitable<HttpResponse> HttpClient::Impl::perform(const HttpRequest& request,
                                                        SampleSet& out) {
  const config::Endpoint endpoint{request.url.host, port_of(request.url)};
  const auto began = std::chrono::steady_clock::now();
  out.doing("resolving " + endpoint.host);
  const Addresses addresses = co_await resolver_.resolve(endpoint.host);
  const std::chrono::duration<double> resolving = std::chrono::steady_clock::now() - began;
  out.doing("waiting for an answer from " + endpoint.text());

  Transfer transfer(*this, request);
  if (idle_.empty()) {
    transfer.handle = std::make_unique<Handle>();
  } else {
    transfer.handle = std::move(idle_.back());
    idle_.pop_back();
  }
  // Whatever ends this coroutine, the transfer leaves libcurl before it goes out of scope.
  struct Stop {
    Impl& client;
    Transfer& transfer;
    ~Stop() { client.stop(transfer); }
  } const stop_at_end{*this, transfer};
  prepare(transfer, addresses);
  const auto begin = [this, &transfer](std::shared_ptr<Pending<CURLcode>> pending) {
    start(transfer, std::move(pending));
  };
  const CURLcode code = co_await Pending<CURLcode>::wait(begin);
  if (transfer.too_large) {
    throw ProbeError(Reason::protocol, "the answer is larger than " +
                                           std::to_string(transfer.request.most_body) + " bytes");
  }
  if (code != CURLE_OK && !transfer.ended) {
    std::string text = transfer.error[0] != '\0' ? transfer.error : curl_easy_strerror(code);
    long os_error = 0;
    curl_easy_getinfo(transfer.handle->easy, CURLINFO_OS_ERRNO, &os_error);
    if (code == CURLE_COULDNT_CONNECT && os_error != 0) {
      text = endpoint.text() + ": " + std::strerror(static_cast<int>(os_error));
    }
    // What libcurl says of a header line beyond 100 KB.
    if (code == CURLE_OUT_OF_MEMORY) text = "a header is too long, or memory is short";
    throw ProbeError(reason_of(code), text);
  }
  long status = 0;
  long version = 0;
  curl_easy_getinfo(transfer.handle->easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(transfer.handle->easy, CURLINFO_HTTP_VERSION, &version);
  transfer.response.status = static_cast<int>(status);
  transfer.response.version = version == CURL_HTTP_VERSION_1_0 ? 1.0
                              : version == CURL_HTTP_VERSION_2 ? 2.0
                                                               : 1.1;
  read_phases(transfer, resolving.count());
  co_return std::move(transfer.response);
}

HttpClient::HttpClient(asio::io_context& loop, TimerWheel& wheel, Resolver& resolver,
                       TlsContexts& tls)
    : impl_(std::make_unique<Impl>(loop, wheel, resolver, tls)) {}
HttpClient::~HttpClient() = default;

asio::awaitable<HttpResponse> HttpClient::perform(const HttpRequest& request, SampleSet& out) {
  return impl_->perform(request, out);
}

}  // namespace vitalsd::net
