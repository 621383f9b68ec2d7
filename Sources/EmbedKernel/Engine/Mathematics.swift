// The system's functions on Double under names that do not depend on the platform.

private import CSystem

package func power(_ base: Double, _ exponent: Double) -> Double { pow(base, exponent) }
package func logarithm(_ value: Double) -> Double { log(value) }
package func exponential(_ value: Double) -> Double { exp(value) }
package func cosine(_ angle: Double) -> Double { cos(angle) }
package func sine(_ angle: Double) -> Double { sin(angle) }
/// ln(1 + value), exact for small values.
package func logarithmOfOnePlus(_ value: Double) -> Double { log1p(value) }
