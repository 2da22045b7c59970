"""Prices, sensitivities and risk."""

from collections import namedtuple

import numpy as np
from scipy import special

from programs import Program, normal, uniform


def black_scholes(spot, strike, rate, volatility, expiry):
    """A call option. Its gradient is what traders call delta, rho, vega and theta."""
    d1 = (np.log(spot / strike) + (rate + volatility**2 / 2) * expiry) / (
        volatility * np.sqrt(expiry)
    )
    d2 = d1 - volatility * np.sqrt(expiry)
    cdf = lambda z: 0.5 * (1 + special.erf(z / np.sqrt(2)))
    return spot * cdf(d1) - strike * np.exp(-rate * expiry) * cdf(d2)


def implied_volatility(price, spot, strike, expiry):
    """The volatility that explains a price, by Newton's method until it converges."""
    cdf = special.ndtr
    density = lambda z: np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    sigma = 0.3
    for _ in range(50):
        root = sigma * np.sqrt(expiry)
        d1 = np.log(spot / strike) / root + root / 2
        miss = spot * cdf(d1) - strike * cdf(d1 - root) - price
        sigma = sigma - miss / (spot * density(d1) * np.sqrt(expiry))
        if abs(miss) < 1e-13:
            break
    return sigma


def asian_option(spot, volatility, rate, strike, *, shocks):
    """A path-wise Monte Carlo price with the shocks held fixed."""
    steps = shocks.shape[1]
    dt = 1 / steps
    moves = (rate - volatility**2 / 2) * dt + volatility * np.sqrt(dt) * shocks
    paths = spot * np.exp(np.cumsum(moves, axis=1))
    payoff = np.maximum(paths.mean(axis=1) - strike, 0)
    return np.exp(-rate) * payoff.mean()


def american_put(spot, strike, rate, volatility, *, steps):
    """A binomial tree with early exercise."""
    dt = 1 / steps
    up = np.exp(volatility * np.sqrt(dt))
    p = (np.exp(rate * dt) - 1 / up) / (up - 1 / up)
    prices = spot * up ** (2 * np.arange(steps + 1) - steps)
    values = np.maximum(strike - prices, 0)
    for step in range(steps - 1, -1, -1):
        prices = spot * up ** (2 * np.arange(step + 1) - step)
        values = np.exp(-rate * dt) * (p * values[1:] + (1 - p) * values[:-1])
        values = np.maximum(values, strike - prices)
    return values[0]


def crank_nicolson_option(volatility, rate, strike):
    """The Black–Scholes equation on a grid of prices, a linear system at every step."""
    s = np.linspace(0, 3, 13)[1:-1]
    k = np.arange(1, 12)
    dt = 0.1
    a = 0.25 * dt * (volatility**2 * k**2 - rate * k)
    b = -0.5 * dt * (volatility**2 * k**2 + rate)
    c = 0.25 * dt * (volatility**2 * k**2 + rate * k)
    A = np.diag(b) + np.diag(a[1:], -1) + np.diag(c[:-1], 1)
    left, right = np.eye(11) - A, np.eye(11) + A
    v = np.log1p(np.exp(20 * (strike - s))) / 20
    for _ in range(5):
        v = np.linalg.solve(left, right @ v)
    return v[4]


Curve = namedtuple("Curve", "level slope hump decay")


def nelson_siegel(curve, *, maturities, yields):
    """Squared error of a parametric yield curve."""
    x = maturities * curve.decay
    loading = -np.expm1(-x) / x
    model = curve.level + curve.slope * loading + curve.hump * (loading - np.exp(-x))
    return 1e4 * np.sum((model - yields) ** 2)


def bootstrapped_curve(swap_rates):
    """Discount factors one after another from par swap rates, and the value of an annuity."""
    discounts = np.zeros_like(swap_rates)
    for i, rate in enumerate(swap_rates):
        discounts[i] = (1 - rate * np.sum(discounts[:i])) / (1 + rate)
    forwards = discounts[:-1] / discounts[1:] - 1
    return np.sum(discounts) + 10 * np.sum(forwards**2)


def garch(omega, alpha, beta, returns):
    """Log-likelihood of returns whose variance depends on the day before."""
    variance = np.empty_like(returns)
    variance[0] = np.var(returns)
    for t in range(1, len(returns)):
        variance[t] = omega + alpha * returns[t - 1] ** 2 + beta * variance[t - 1]
    return -0.5 * np.sum(np.log(2 * np.pi * variance) + returns**2 / variance)


def portfolio_sharpe(logits, returns):
    """Sharpe ratio of softmax weights, with the covariance estimated from the returns."""
    w = np.exp(logits) / np.sum(np.exp(logits))
    mean = returns.mean(axis=0)
    centred = returns - mean
    covariance = centred.T @ centred / (len(returns) - 1)
    return w @ mean / np.sqrt(w @ covariance @ w)


def minimum_variance(returns):
    """Risk of the portfolio of least variance."""
    covariance = np.cov(returns, rowvar=False)
    w = np.linalg.solve(covariance, np.ones(returns.shape[1]))
    w /= w.sum()
    return np.sqrt(w @ covariance @ w)


def execution_cost(trades, impact, risk):
    """Almgren–Chriss: permanent and temporary impact, and the risk of what is still held."""
    schedule = np.exp(trades) / np.exp(trades).sum()
    held = 1 - np.cumsum(schedule)
    return impact * np.sum(schedule**2) + risk * np.sqrt(np.sum(held[:-1] ** 2))


def internal_rate_of_return(cash):
    """The rate at which a project breaks even, by Newton's method in a while loop."""
    periods = np.arange(len(cash))
    rate, step = 0.1, 1.0
    while abs(step) > 1e-14:
        growth = (1 + rate) ** -periods
        step = np.sum(cash * growth) / np.sum(-periods * cash * growth / (1 + rate))
        rate = rate - step
    return rate


def expected_shortfall(weights, scenarios):
    """The mean of the worst quarter of the scenarios, sorted by loss."""
    losses = -scenarios @ weights
    worst = np.sort(losses)[-len(losses) // 4 :]
    return worst.mean() + 0.1 * np.sum(weights**2)


def heston_paths(kappa, theta, xi, start, *, shocks):
    """A variance process kept at or above zero, and the option value it gives."""
    spot = np.ones(shocks.shape[1])
    v = start * np.ones(shocks.shape[1])
    dt = 0.1
    for z1, z2 in shocks.transpose(0, 2, 1):
        v_plus = np.maximum(v, 1e-4)
        spot = spot * np.exp(-0.5 * v_plus * dt + np.sqrt(v_plus * dt) * z1)
        v = v + kappa * (theta - v_plus) * dt + xi * np.sqrt(v_plus * dt) * (0.8 * z2 - 0.6 * z1)
    return np.mean(np.maximum(spot - 0.95, 0.0))


PROGRAMS = [
    Program(black_scholes, (100.0, 105.0, 0.03, 0.25, 0.75)),
    Program(implied_volatility, (0.12, 1.0, 1.05, 0.8), decides=True),
    Program(asian_option, (1.0, 0.4, 0.03, 0.98), {"shocks": normal(501, 12, 5)}),
    Program(american_put, (1.0, 1.1, 0.05, 0.3), {"steps": 8}),
    Program(crank_nicolson_option, (0.4, 0.05, 1.1)),
    Program(
        nelson_siegel,
        (Curve(0.04, -0.02, 0.01, 0.6),),
        {"maturities": np.array([0.5, 1.0, 2, 5, 10]), "yields": uniform(502, 0.02, 0.05, 5)},
    ),
    Program(bootstrapped_curve, (np.array([0.02, 0.024, 0.027, 0.029, 0.03]),)),
    Program(garch, (0.1, 0.15, 0.7, normal(503, 10))),
    Program(portfolio_sharpe, (normal(504, 4), 0.1 + 0.3 * normal(505, 9, 4))),
    Program(minimum_variance, (normal(506, 9, 3),)),
    Program(execution_cost, (normal(507, 6), 0.8, 0.5)),
    Program(internal_rate_of_return, (np.array([-10.0, 2.0, 3.0, 4.0, 5.0]),), decides=True),
    Program(expected_shortfall, (uniform(508, 0.1, 0.4, 3), normal(509, 13, 3))),
    Program(heston_paths, (1.5, 0.09, 0.4, 0.08), {"shocks": normal(510, 6, 8, 2)}),
]
