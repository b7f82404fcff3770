"""Models that give each row a score from 0 to 1, with reasons: boosted trees and isolation forests."""
