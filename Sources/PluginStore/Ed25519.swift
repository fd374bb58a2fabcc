import CCrypto
import Diagnostics
import Foundation
import PluginRuntime

/// Ed25519 (RFC 8032) by the system's libcrypto.
package enum Ed25519 {
  /// Signs with a private key in PEM.
  /// - Returns: the signature, 64 bytes, and the public key, 32 bytes.
  static func sign(_ message: Data, keyFile path: String) throws(StoreError) -> (signature: Data, publicKey: Data) {
    let key = try read(path) { PEM_read_bio_PrivateKey($0, nil, nil, nil) }
    defer { EVP_PKEY_free(key) }
    let context = EVP_MD_CTX_new()
    defer { EVP_MD_CTX_free(context) }
    var signature = [UInt8](repeating: 0, count: 64)
    var count = signature.count
    let bytes = [UInt8](message)
    guard EVP_DigestSignInit(context, nil, nil, nil, key) == 1,
      EVP_DigestSign(context, &signature, &count, bytes, bytes.count) == 1, count == 64
    else { throw .key(path: path, problem: "cannot sign with this key") }
    return (Data(signature), try raw(key, path))
  }

  static func isValid(_ signature: Data, of message: Data, by publicKey: Data) -> Bool {
    let (signature, message, publicKey) = ([UInt8](signature), [UInt8](message), [UInt8](publicKey))
    guard signature.count == 64, publicKey.count == 32,
      let key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nil, publicKey, publicKey.count)
    else { return false }
    defer { EVP_PKEY_free(key) }
    let context = EVP_MD_CTX_new()
    defer { EVP_MD_CTX_free(context) }
    return EVP_DigestVerifyInit(context, nil, nil, nil, key) == 1
      && EVP_DigestVerify(context, signature, signature.count, message, message.count) == 1
  }

  /// The 32 bytes of a public key in PEM.
  static func publicKey(file path: String) throws(StoreError) -> Data {
    let key = try read(path) { PEM_read_bio_PUBKEY($0, nil, nil, nil) }
    defer { EVP_PKEY_free(key) }
    return try raw(key, path)
  }

  private static func read(
    _ path: String, _ parse: (OpaquePointer?) -> OpaquePointer?
  ) throws(StoreError) -> OpaquePointer {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw .missing(
        path: path, what: "no such key", remedy: "openssl genpkey -algorithm ed25519 -out key.pem makes one")
    }
    let bytes = [UInt8](data)
    let memory = BIO_new_mem_buf(bytes, Int32(clamping: bytes.count))
    defer { BIO_free(memory) }
    guard let key = parse(memory) else { throw .key(path: path, problem: "is no key in PEM") }
    guard EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 else {
      EVP_PKEY_free(key)
      throw .key(path: path, problem: "is no Ed25519 key")
    }
    return key
  }

  private static func raw(_ key: OpaquePointer, _ path: String) throws(StoreError) -> Data {
    var bytes = [UInt8](repeating: 0, count: 32)
    var count = bytes.count
    guard EVP_PKEY_get_raw_public_key(key, &bytes, &count) == 1, count == 32 else {
      throw .key(path: path, problem: "has no public key")
    }
    return Data(bytes)
  }
}

/// Public keys that this user trusts: `$XDG_DATA_HOME/ablate/keys/NAME.pem`.
package struct KnownKeys: Sendable {
  private let byKey: [Data: String]

  package static var folder: String { PluginSearch.dataFolder + "/keys" }

  /// A file there that is no key is an error: silence would take trust away, or seem to give it.
  package init(folder: String = KnownKeys.folder) throws(StoreError) {
    var names: [Data: String] = [:]
    for file in ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
    where file.hasSuffix(".pem") {
      names[try Ed25519.publicKey(file: "\(folder)/\(file)")] = String(file.dropLast(4))
    }
    byKey = names
  }

  package func name(of key: Data) -> String? { byKey[key] }
}
