import Foundation

/// Hold a pushed file against what was sent.
public func verify(_ file: Options.PushedFile, in folder: URL) throws {
    let found = try SHA256.hex(ofFileAt: folder.appendingPathComponent(file.name))
    guard found.byteCount == file.bytes, found.sha256 == file.sha256 else {
        throw HarnessError(
            .changed, "\(file.name) isn't the file that was sent: \(found.byteCount) bytes, and not \(file.bytes).")
    }
}

/// Put the package together in an empty folder, from files that are found to be those that were sent.
///
/// - Returns: where the package is.
public func assemble(_ package: Options.Package, from folder: URL, in place: URL) throws -> URL {
    let root = place.appendingPathComponent(package.name)
    for entry in package.files {
        try verify(entry.file, in: folder)
        let target = root.appendingPathComponent(entry.path)
        do {
            try FileManager.default.createDirectory(
                at: target.deletingLastPathComponent(), withIntermediateDirectories: true)
            try linkOrCopy(folder.appendingPathComponent(entry.file.name), to: target)
        } catch {
            throw HarnessError(.file, "\(entry.path) can't be put into the package: \(error.localizedDescription)")
        }
    }
    return root
}

/// A link costs no space; where the system allows none, a copy does as well.
private func linkOrCopy(_ source: URL, to target: URL) throws {
    do {
        try FileManager.default.linkItem(at: source, to: target)
    } catch {
        try FileManager.default.copyItem(at: source, to: target)
    }
}

/// Remove every file whose name starts with `prefix`, and those of any driver that weren't touched for a day.
public func removePushed(prefix: String, family: String, in folder: URL, now: Date) {
    let day: TimeInterval = 24 * 60 * 60
    let files = FileManager.default
    let keys: [URLResourceKey] = [.contentModificationDateKey]
    let found = (try? files.contentsOfDirectory(at: folder, includingPropertiesForKeys: keys)) ?? []
    for url in found where url.lastPathComponent.hasPrefix(family) {
        let touched = try? url.resourceValues(forKeys: Set(keys)).contentModificationDate
        let isOld = touched.map { now.timeIntervalSince($0) > day } ?? false
        if url.lastPathComponent.hasPrefix(prefix) || isOld {
            try? files.removeItem(at: url)
        }
    }
}
