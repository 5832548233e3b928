#include "probes/certificate/handshake.hpp"

#include "probes/net/http_client.hpp"
#include "probes/net/http_proxy.hpp"
#include "probes/net/http_tunnel.hpp"
#include "probes/net/stream.hpp"

#include <array>
#include <exception>
#include <memory>
#include <utility>

#include <boost/asio/ip/address.hpp>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

namespace vitalsd {
namespace {

using Chain = std::unique_ptr<STACK_OF(X509), void (*)(STACK_OF(X509)*)>;

// What the server sent in the handshake.
struct Capture {
  net::TlsPeer peer;
  Chain chain{nullptr, [](STACK_OF(X509) * list) { sk_X509_pop_free(list, X509_free); }};
};

int capture_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

// Replaces OpenSSL's verification: stores the chain and accepts it.
int capture_chain(X509_STORE_CTX* context, void* /*unused*/) {
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* capture = static_cast<Capture*>(SSL_get_ex_data(ssl, capture_index()));
  STACK_OF(X509)* sent = X509_STORE_CTX_get0_untrusted(context);
  if (capture == nullptr || sent == nullptr) return 1;
  try {
    capture->chain.reset(X509_chain_up_ref(sent));
    capture->peer = net::read_tls_peer(ssl, X509_STORE_CTX_get0_cert(context));
  } catch (const std::exception&) {  // cannot pass through OpenSSL
    return 0;
  }
  return 1;
}

VerifyFault fault_of(int error) {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return VerifyFault::expired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return VerifyFault::not_yet_valid;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return VerifyFault::self_signed;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return VerifyFault::untrusted;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return VerifyFault::wrong_host;
    default:
      return VerifyFault::other;
  }
}

// Returns the leaf and its issuers among the certificates that the server sent. It may also send
// certificates that no client needs.
std::vector<net::CertificateInfo> describe_issuers(const STACK_OF(X509) * sent) {
  std::vector<net::CertificateInfo> found;
  X509* next = sk_X509_value(sent, 0);
  // Cross-signed certificates may be issuers of each other.
  while (next != nullptr && found.size() < static_cast<std::size_t>(sk_X509_num(sent))) {
    X509* const current = std::exchange(next, nullptr);
    found.push_back(net::describe(*current));
    if (X509_self_signed(current, 0) == 1) break;
    for (int i = 1; i < sk_X509_num(sent) && next == nullptr; ++i) {
      X509* const other = sk_X509_value(sent, i);
      if (other != current && X509_check_issued(other, current) == X509_V_OK) next = other;
    }
  }
  return found;
}

// Verifies the chain and the name as a client would, and sets the fault.
void verify(STACK_OF(X509) * chain, X509_STORE* store, const std::string& name,
            ServerCertificate& out) {
  const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> context(
      X509_STORE_CTX_new(), X509_STORE_CTX_free);
  X509_STORE_CTX_init(context.get(), store, sk_X509_value(chain, 0), chain);
  X509_STORE_CTX_set_default(context.get(), "ssl_server");
  X509_VERIFY_PARAM* const parameters = X509_STORE_CTX_get0_param(context.get());
  boost::system::error_code not_an_address;
  asio::ip::make_address(name, not_an_address);
  if (not_an_address) {
    X509_VERIFY_PARAM_set1_host(parameters, name.data(), name.size());
  } else {
    X509_VERIFY_PARAM_set1_ip_asc(parameters, name.c_str());
  }
  if (X509_verify_cert(context.get()) == 1) {
    out.path = net::describe(X509_STORE_CTX_get0_chain(context.get()));
    return;
  }
  const int error = X509_STORE_CTX_get_error(context.get());
  out.fault = fault_of(error);
  out.fault_text = X509_verify_cert_error_string(error);
}

// Ignores case, because the keywords of IMAP are case-insensitive.
bool starts_with(std::string_view line, std::string_view prefix) {
  return net::same_header(line.substr(0, prefix.size()), prefix);
}

// Reads whole lines, and responses that consist of several lines. Limits their length.
class LineReader {
 public:
  explicit LineReader(net::Stream& stream) : stream_(stream) {}

  asio::awaitable<std::string> line() {
    constexpr std::size_t kMaxLength = 4096;  // bytes
    for (;;) {
      const std::size_t end = buffer_.find('\n');
      if (end != std::string::npos) {
        std::string found = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        if (found.ends_with('\r')) found.pop_back();
        co_return found;
      }
      if (buffer_.size() > kMaxLength)
        throw ProbeError(Reason::protocol, "the server sent a line of more than 4096 bytes");
      std::array<char, 512> piece{};
      const std::size_t size = co_await stream_.read_some(piece);
      buffer_.append(piece.data(), size);
    }
  }

  /// Returns the last line of an SMTP response. The other lines begin with a code and a hyphen
  /// ("220-").
  asio::awaitable<std::string> smtp_response() {
    for (int i = 0; i < kMaxLines; ++i) {
      std::string found = co_await line();
      if (found.size() < 4 || found[3] != '-') co_return found;
    }
    throw_too_long();
  }

  /// Returns the last line of an FTP response. Lines between the first and the last one can be any
  /// text (RFC 959, 4.2).
  asio::awaitable<std::string> ftp_response() {
    std::string found = co_await line();
    if (found.size() < 4 || found[3] != '-') co_return found;
    const std::string end = found.substr(0, 3) + ' ';
    for (int i = 1; i < kMaxLines; ++i) {
      found = co_await line();
      if (found.starts_with(end)) co_return found;
    }
    throw_too_long();
  }

  /// Returns the tagged line of an IMAP response. A server may send untagged lines at any time (RFC
  /// 3501, 7). They are ignored except for BYE, after which the server closes the connection.
  asio::awaitable<std::string> imap_response() {
    for (int i = 0; i < kMaxLines; ++i) {
      std::string found = co_await line();
      if (!found.starts_with("* ") || starts_with(found, "* BYE")) co_return found;
    }
    throw_too_long();
  }

 private:
  static constexpr int kMaxLines = 100;

  [[noreturn]] static void throw_too_long() {
    throw ProbeError(Reason::protocol, "the server sent a response of more than 100 lines");
  }

  net::Stream& stream_;
  std::string buffer_;
};

void expect(const std::string& line, std::string_view prefix, std::string_view what) {
  if (starts_with(line, prefix)) return;
  throw ProbeError(Reason::mismatch,
                   "unexpected " + std::string(what) + ": " + config::quoted(line));
}

asio::awaitable<void> request_tls(net::Stream& stream, StartTls protocol) {
  LineReader reader(stream);
  switch (protocol) {
    case StartTls::none:
      co_return;
    case StartTls::smtp: {
      expect(co_await reader.smtp_response(), "220", "greeting");
      co_await stream.write("EHLO vitalsd\r\n");
      expect(co_await reader.smtp_response(), "250", "response to EHLO");
      co_await stream.write("STARTTLS\r\n");
      expect(co_await reader.smtp_response(), "220", "response to STARTTLS");
      co_return;
    }
    case StartTls::ftp: {
      expect(co_await reader.ftp_response(), "220", "greeting");
      co_await stream.write("AUTH TLS\r\n");
      expect(co_await reader.ftp_response(), "234", "response to AUTH TLS");
      co_return;
    }
    case StartTls::imap: {
      const std::string greeting = co_await reader.line();
      // PREAUTH is the greeting of a proxy that has already authenticated. The proxy may support
      // STARTTLS.
      if (!starts_with(greeting, "* PREAUTH")) expect(greeting, "* OK", "greeting");
      co_await stream.write("a STARTTLS\r\n");
      expect(co_await reader.imap_response(), "a OK", "response to STARTTLS");
      co_return;
    }
    case StartTls::pop3: {
      expect(co_await reader.line(), "+OK", "greeting");
      co_await stream.write("STLS\r\n");
      expect(co_await reader.line(), "+OK", "response to STLS");
      co_return;
    }
    case StartTls::postgres: {
      // SSLRequest: length 8, code 80877103 (PostgreSQL's documentation, "Message Formats").
      co_await stream.write(std::string_view("\0\0\0\x08\x04\xd2\x16\x2f", 8));
      std::array<char, 1> response{};
      co_await stream.read_some(response);
      if (response[0] != 'S') throw ProbeError(Reason::mismatch, "the server does not support TLS");
      co_return;
    }
  }
}

// Not a shared context, because the verification of this context is replaced.
std::shared_ptr<asio::ssl::context> capturing_context(asio::ssl::context& shared) {
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_client);
  context->set_verify_mode(asio::ssl::verify_none);
  net::refuse_large_primes(context->native_handle());
  SSL_CTX_set_cert_verify_callback(context->native_handle(), &capture_chain, nullptr);
  net::copy_certificate(shared.native_handle(), context->native_handle());
  return context;
}

}  // namespace

std::string_view fault_name(VerifyFault fault) {
  switch (fault) {
    case VerifyFault::expired:
      return "expired";
    case VerifyFault::not_yet_valid:
      return "not_yet_valid";
    case VerifyFault::self_signed:
      return "self_signed";
    case VerifyFault::untrusted:
      return "untrusted";
    case VerifyFault::wrong_host:
      return "wrong_host";
    case VerifyFault::other:
      return "other";
  }
  return "";
}

namespace {

asio::awaitable<ServerCertificate> fetch(const Environment& environment,
                                         const config::Endpoint& endpoint,
                                         const net::HttpRoute& route, StartTls start_tls,
                                         const net::TlsOptions& options, SampleSet& out) {
  net::Stream stream = co_await net::open_tunnel(environment, endpoint, route, out);
  if (start_tls != StartTls::none) {
    out.doing("requesting TLS from " + endpoint.text() + net::through(route.proxy));
    co_await request_tls(stream, start_tls);
  }
  Capture capture;
  net::TlsOptions unverified = options;
  unverified.verify = false;
  out.doing("reading the files of tls", Reason::internal);
  const auto shared = co_await environment.tls.client(unverified);
  const auto context = capturing_context(*shared);
  out.doing("performing the TLS handshake with " + endpoint.text() + net::through(route.proxy));
  const auto prepare = [&](SSL* ssl) { SSL_set_ex_data(ssl, capture_index(), &capture); };
  try {
    co_await stream.start_tls(context, unverified, endpoint.host, prepare);
  } catch (const ProbeError&) {
    // With a chain, the certificate is known although the handshake failed.
    if (!capture.chain) throw;
  }
  if (!capture.chain || sk_X509_num(capture.chain.get()) == 0) {
    throw ProbeError(Reason::tls, "the server sent no certificate");
  }
  ServerCertificate found;
  found.peer = std::move(capture.peer);
  found.peer.sent_expiry = net::earliest_expiry(capture.chain.get());
  found.sent = describe_issuers(capture.chain.get());
  if (options.verify) {
    const std::string& name = options.server_name.empty() ? endpoint.host : options.server_name;
    out.doing("reading the files of tls", Reason::internal);
    const auto store = co_await environment.tls.store(options.ca);
    verify(capture.chain.get(), store.get(), name, found);
  }
  co_return found;
}

}  // namespace

asio::awaitable<ServerCertificate> fetch_certificate(
    const Environment& environment, const config::Endpoint& endpoint, const net::HttpRoute& route,
    StartTls start_tls, const net::TlsOptions& options, SampleSet& out) {
  try {
    co_return co_await fetch(environment, endpoint, route, start_tls, options, out);
  } catch (const ProbeError& error) {
    if (!route.proxy) throw;
    throw net::through_proxy(*route.proxy, error);
  }
}

}  // namespace vitalsd
