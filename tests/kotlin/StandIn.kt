// An app for the conformance test to run on a JVM: frames come decoded from files, and the rest is done by docs/video.md.
// Usage: ANSWERS is a folder with, for each video, NAME.txt (frame count, width, height, indices) and NAME.rgb.

package dvfl.conformance

import java.io.File
import org.json.JSONObject
import org.junit.runner.JUnitCore

private val place = File(System.getProperty("answers"))
private val contents = JSONObject(File(System.getProperty("pack"), "pack.json").readText())
private val size = contents.getJSONObject("clip").getInt("size")
private val shortSide = contents.getJSONObject("clip").getInt("short_side")

private object Pipeline : PipelineUnderTest {
    override fun decode(video: File): Decoded {
        val name = video.nameWithoutExtension
        val facts = File(place, "$name.txt").readText().trim().split(" ").map(String::toInt)
        val (count, width, height) = facts
        val bytes = File(place, "$name.rgb").readBytes()
        val each = width * height * 3
        val frames = (0 until bytes.size / each).map { bytes.copyOfRange(it * each, (it + 1) * each) }
        return Decoded(count, facts.drop(3).toIntArray(), frames.map { Picture(width, height, it) })
    }

    override fun pixels(frames: List<Picture>): ByteArray {
        val pixels = ByteArray(frames.size * 3 * size * size)
        frames.forEachIndexed { t, picture -> resize(picture, pixels, t * 3 * size * size) }
        return pixels
    }

    override fun tensor(pixels: ByteArray) = FloatArray(pixels.size) { (pixels[it].toInt() and 255).toFloat() }

    /** The logits of the pack's own clip that is nearest. */
    override fun logits(tensor: FloatArray): FloatArray {
        val videos = contents.getJSONArray("videos")
        val known = (0 until videos.length()).map(videos::getJSONObject).filter { !it.isNull("clip") }
        val nearest = known.minByOrNull { one ->
            val clip = File(System.getProperty("pack"), one.getString("clip")).readBytes()
            clip.indices.sumOf { Math.abs((clip[it].toInt() and 255) - tensor[it]).toDouble() }
        }!!
        val logits = nearest.getJSONArray("reference_logits")
        return FloatArray(logits.length()) { logits.getDouble(it).toFloat() }
    }

    private fun resize(picture: Picture, to: ByteArray, start: Int) {
        val scale = shortSide.toDouble() / minOf(picture.width, picture.height)
        val width = (picture.width * scale + 0.5).toInt()
        val height = (picture.height * scale + 0.5).toInt()
        val left = Math.floorDiv(width - size, 2)
        val top = Math.floorDiv(height - size, 2)
        for (c in 0 until 3) for (y in 0 until size) for (x in 0 until size) {
            to[start + (c * size + y) * size + x] = pixel(picture, left + x, top + y, c, width, height).toByte()
        }
    }

    private fun pixel(picture: Picture, x: Int, y: Int, c: Int, width: Int, height: Int): Int {
        val (left, right, b) = between(x, picture.width, width)
        val (upper, lower, d) = between(y, picture.height, height)
        fun at(row: Int, column: Int) = picture.rgb[(row * picture.width + column) * 3 + c].toInt() and 255
        fun across(row: Int) = at(row, left) * (2048 - b) + at(row, right) * b
        val above = (across(upper) shr 4) * (2048 - d) shr 16
        val below = (across(lower) shr 4) * d shr 16
        return (above + below + 2) shr 2
    }

    private fun between(x: Int, length: Int, resized: Int): Triple<Int, Int, Int> {
        val n = (2 * x + 1) * length - resized
        val low = Math.floorDiv(n, 2 * resized)
        val weight = (Math.floorMod(n, 2 * resized) * 2048 + resized) / (2 * resized)
        return Triple(maxOf(low, 0), minOf(low + 1, length - 1), weight)
    }
}

class StandInTest : ConformanceTest() {
    override val pipeline = Pipeline as PipelineUnderTest
    override val pack = File(System.getProperty("pack"))
    override val results = File(place, "pack-results.json")
    override val app = "StandIn.kt"
}

fun main() = JUnitCore.main("dvfl.conformance.StandInTest")
